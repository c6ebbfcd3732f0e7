"""How much is measured."""

import dataclasses


@dataclasses.dataclass
class Scale:
    repeats: int
    # Queues.
    clients: int  # that enqueue singly
    enqueue_seconds: float
    drain_jobs: int
    drain_limit: float  # seconds; a slower queue does not finish
    pings: int
    held_jobs: int  # by the worker that is killed
    recovery_limit: float  # seconds
    # Service.
    load_seconds: float
    probe_seconds: float  # of one rate
    bisections: int  # each halves the interval in which the highest steady rate is
    latency_seconds: float

    @classmethod
    def full(cls):
        return cls(
            repeats=3,
            clients=16,
            enqueue_seconds=5,
            drain_jobs=50_000,
            drain_limit=120,
            pings=200,
            held_jobs=100,
            recovery_limit=120,
            load_seconds=6,
            probe_seconds=6,
            bisections=4,
            latency_seconds=12,
        )

    @classmethod
    def quick(cls):
        return cls(
            repeats=1,
            clients=16,
            enqueue_seconds=1,
            drain_jobs=2000,
            drain_limit=30,
            pings=20,
            held_jobs=20,
            recovery_limit=60,
            load_seconds=2,
            probe_seconds=2,
            bisections=1,
            latency_seconds=3,
        )
