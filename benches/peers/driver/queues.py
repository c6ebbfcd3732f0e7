"""The part `queues`: what each queue does alone, on a database of its own."""

import json
import time

from driver import machine, paths, processes, results
from driver.quantiles import quantile

RUST = {"pigeonhole", "riverqueue", "awa", "apalis-postgres", "graphile_worker"}
NODE = {"graphile-worker", "pg-boss"}
PYTHON = {"pgqueuer"}

# In the order of the table.
PEERS = [
    "pigeonhole",
    "riverqueue",
    "awa",
    "apalis-postgres",
    "graphile_worker",
    "graphile-worker",
    "pg-boss",
    "pgqueuer",
]

# How long a worker that says that it is ready gets until it listens.
WARM_UP = 3


class Queue:
    """One queue on its database."""

    def __init__(self, peer, server, programs, database="peer"):
        self.peer = peer
        self.server = server
        self.programs = programs
        self.database = database

    def set_up(self):
        """In a new database, as after its installation."""
        self.server.create_empty(self.database)
        self.run("setup")
        self.server.settle(self.database)

    def run(self, *arguments):
        """Runs a command and returns the figure that it prints, if it does."""
        output = processes.run(self._command(*arguments), env=self._env())
        lines = [json.loads(line) for line in output.splitlines()]
        return lines[-1] if lines else None

    def start_worker(self, *options):
        """A process that runs jobs."""
        name = f"{self.peer}-work"
        worker = processes.PrintingProcess(name, self._command("work", *options), self._env())
        if not worker.wait_for(lambda lines: {"ready": True} in lines, 30):
            worker.stop()
            raise RuntimeError(f"the worker does not start: see {paths.LOGS / name}.log")
        time.sleep(WARM_UP)
        return worker

    def _command(self, *arguments):
        if self.peer in RUST:
            program = [self.programs.rust / "queues"]
        elif self.peer in NODE:
            program = [self.programs.node, paths.WORK / "queues" / "node" / "main.mjs"]
        else:
            program = [self.programs.python, paths.WORK / "queues" / "python" / "main.py"]
        return [str(word) for word in (*program, self.peer, *arguments)]

    def _env(self):
        return {"DATABASE_URL": self.server.url(self.database), "NODE_ENV": "production"}


def measure(server, programs, scale, peers):
    for round_number in range(1, scale.repeats + 1):
        for peer in peers:
            queue = Queue(peer, server, programs)
            for figure in (_enqueue_single, _bulk_and_drain, _latency):
                try:
                    figure(queue, scale, round_number)
                except Exception as error:  # the others are measured all the same
                    results.failed("queues", peer, error)


def _timed(queue, scale_of_figure, round_number):
    """Runs one command on an idle machine and writes its figure."""
    idle, before = machine.wait_until_idle(), machine.CpuTimes()
    figure = queue.run(*scale_of_figure)
    _, stolen = machine.CpuTimes().shares_since(before)
    results.write(
        part="queues",
        peer=queue.peer,
        round=round_number,
        per_s=figure["jobs"] / figure["seconds"],
        idle_before=idle,
        stolen=stolen,
        **figure,
    )


def _enqueue_single(queue, scale, round_number):
    queue.set_up()
    _timed(queue, ("enqueue-single", scale.clients, scale.enqueue_seconds), round_number)


def _bulk_and_drain(queue, scale, round_number):
    queue.set_up()
    _timed(queue, ("enqueue-bulk", scale.drain_jobs), round_number)
    queue.server.settle(queue.database)
    _timed(queue, ("drain", scale.drain_jobs, scale.drain_limit), round_number)


def _latency(queue, scale, round_number):
    queue.set_up()
    worker = queue.start_worker()
    try:
        idle = machine.wait_until_idle()
        queue.run("ping", scale.pings)
        worker.wait_for(lambda lines: len(lines) > scale.pings, 60)
        # The first ones find nothing prepared.
        runs = [line for line in worker.lines if line.get("job", 0) >= scale.pings // 10]
    finally:
        worker.kill()
    times = sorted((run["started_us"] - run["sent_us"]) / 1000 for run in runs)
    results.write(
        part="queues",
        peer=queue.peer,
        round=round_number,
        figure="latency",
        jobs=len(times),
        p50_ms=quantile(times, 0.5),
        p99_ms=quantile(times, 0.99),
        idle_before=idle,
    )
