"""The parts `service` and `distance`: Pigeonhole beside a Node service, in turn."""

import json
import subprocess
import time

from driver import machine, paths, processes, results
from driver.systems import DATABASE, NodeService, Pigeonhole

CONNECTIONS = (1, 64, 256)

# Where the search for the highest steady rate begins, in messages a second.
FIRST_RATE = 300
LOWEST_RATE = 10

# A rate is steady if so much of it is answered, and of what arrives in the second half of the run
# no more than this remains as a larger backlog.
ANSWERED_SHARE = 0.97
GROWTH_SHARE = 0.03

# Milliseconds one way, the share of chunks that stall their connection for 2 s, seconds of a probe.
DISTANCES = [(5, 0, 10), (50, 0.01, 20)]


def measure(server, programs, scale):
    systems = _prepare(server, programs)
    for round_number in range(1, scale.repeats + 1):
        for system in systems:
            for part in (_answered, _steady_and_latency):
                _try(system, "service", lambda: part(system, scale, round_number))


def measure_at_distance(server, programs, scale):
    for system in _prepare(server, programs):
        for delay_ms, stall_share, seconds in DISTANCES:
            proxy_port = processes.free_port()
            proxy = processes.BackgroundProcess(
                "delay-proxy", _proxy(server, programs, proxy_port, delay_ms, stall_share), {}
            )
            processes.wait_for_port(proxy_port)
            system.database_port = proxy_port
            at = {"part": "distance", "round": 1, "delay_ms": delay_ms, "stall_share": stall_share}
            seconds = min(seconds, seconds * scale.probe_seconds / 6)
            _try(system, "distance", lambda: _end_to_end(system, scale, seconds, 2, at))
            proxy.stop()


def _prepare(server, programs):
    systems = [NodeService(server, programs), Pigeonhole(server, programs)]
    for system in systems:
        system.make_template()
    return systems


def _proxy(server, programs, port, delay_ms, stall_share):
    command = [programs.rust / "delay-proxy", "--listen", f"127.0.0.1:{port}"]
    command += ["--server", f"127.0.0.1:{server.port}", "--delay-ms", delay_ms]
    return [str(word) for word in [*command, "--stall-share", stall_share]]


def _try(system, part, measurement):
    try:
        measurement()
    except Exception as error:  # the others are measured all the same
        results.failed(part, system.name, error)
    finally:
        system.stop()


def _answered(system, scale, round_number):
    """Webhooks that are answered, after their commit, in a closed loop and without a worker."""
    system.start(workers=0)
    system.load(connections=64, duration=2)  # compilers, caches
    for connections in CONNECTIONS:
        idle, before = machine.wait_until_idle(), machine.CpuTimes()
        cpu = machine.cpu_seconds(system.receiver.pids())
        load = system.load(connections=connections, duration=scale.load_seconds, warmup=0.5)
        cpu = machine.cpu_seconds(system.receiver.pids()) - cpu
        _, stolen = machine.CpuTimes().shares_since(before)
        results.write(
            part="service",
            peer=system.name,
            round=round_number,
            figure="answered",
            connections=connections,
            per_s=load["ok_per_s"],
            p50_ms=load["p50_ms"],
            p99_ms=load["p99_ms"],
            statuses=load["statuses"],
            receiver_cpu_us=cpu / max(1, load["ok"]) * 1e6,
            receiver_peak_mib=machine.peak_mib(system.receiver.pids()),
            idle_before=idle,
            stolen=stolen,
        )


def _steady_and_latency(system, scale, round_number):
    _end_to_end(
        system, scale, scale.probe_seconds, 1, {"part": "service", "round": round_number}
    )


def _end_to_end(system, scale, seconds, workers, labels):
    """From the webhook to its items, in an open loop."""
    system.start(workers)
    time.sleep(2)
    _probe(system, FIRST_RATE, 3)  # compilers, caches
    machine.wait_until_idle()
    highest = _highest_steady_rate(system, scale, seconds)
    results.write(**labels, peer=system.name, figure="steady", workers=workers, per_s=highest)
    if highest is not None:
        _latency(system, highest / 2, scale, labels | {"load": "half"})
    if labels["part"] == "service":
        _latency(system, 20, scale, labels | {"load": "20/s"})


def _highest_steady_rate(system, scale, seconds):
    rate = FIRST_RATE
    while not _is_steady(system, rate, seconds):
        rate /= 2
        if rate < LOWEST_RATE:
            return None
    if rate == FIRST_RATE:
        while _is_steady(system, rate * 2, seconds):
            rate *= 2
    low, high = rate, rate * 2
    for _ in range(scale.bisections):
        middle = (low * high) ** 0.5
        if _is_steady(system, middle, seconds):
            low = middle
        else:
            high = middle
    return low


def _is_steady(system, rate, seconds):
    """A failure counts if it happens twice: on a shared machine, one is often not ours."""
    return any(_keeps_up(system, rate, seconds) for _ in range(2))


def _keeps_up(system, rate, seconds):
    load = _probe(system, rate, seconds)
    return (
        load["ok_per_s"] >= ANSWERED_SHARE * rate
        and load["growth"] <= GROWTH_SHARE * rate * seconds / 2
        and set(load["statuses"]) == {"200"}
    )


def _probe(system, rate, seconds, **options):
    """Load at a rate, and by how much the backlog grows in its second half."""
    command = system.load_command(connections=64, rate=round(rate, 1), duration=seconds, **options)
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(seconds / 2)
    in_the_middle = system.backlog()
    load = json.loads(running.communicate()[0])
    load["growth"] = system.backlog() - in_the_middle
    _wait_until_drained(system)
    return load


def _wait_until_drained(system, limit=300):
    deadline = time.monotonic() + limit
    while system.backlog() > 0:
        if time.monotonic() > deadline:
            raise RuntimeError("the backlog does not end")
        time.sleep(0.2)


# A message's items commit together. Times in milliseconds, without the first second.
LATENCY = """
    with measured as (
        select extract(epoch from pg_xact_commit_timestamp(item.xmin)) * 1e3 as committed,
            sent.answered_us / 1e3 as answered, sent.due_us / 1e3 as due
        from sent
        join enrichment_items item on item.source_metadata ->> 'message_sid' = sent.sid
        where item.item_type = 'field' and sent.status = 200
            and sent.due_us > (select min(due_us) from sent) + 1000000
    )
    select count(*),
        percentile_cont(0.5) within group (order by committed - answered),
        percentile_cont(0.99) within group (order by committed - answered),
        percentile_cont(0.5) within group (order by committed - due),
        percentile_cont(0.99) within group (order by committed - due)
    from measured"""


def _latency(system, rate, scale, labels):
    """From the answer, and from when the webhook was due, until its items are committed."""
    log = paths.WORK / "sent.csv"
    idle, before = machine.wait_until_idle(), machine.CpuTimes()
    wal = system.server.wal_position()
    cpu = {part: machine.cpu_seconds(pids) for part, pids in _pids(system).items()}
    load = _probe(system, rate, scale.latency_seconds, log=log)
    cpu = {part: machine.cpu_seconds(pids) - cpu[part] for part, pids in _pids(system).items()}
    wal = system.server.wal_position() - wal
    _, stolen = machine.CpuTimes().shares_since(before)
    system.server.query(
        DATABASE,
        "drop table if exists sent;"
        "create table sent (sid text, due_us bigint, answered_us bigint, status int);"
        f"copy sent from stdin csv;\n{log.read_text()}\\.\n",
    )
    count, *times = system.server.query(DATABASE, LATENCY).split("|")
    times = [float(text) if text else None for text in times]
    results.write(
        **labels,
        peer=system.name,
        figure="latency",
        rate=rate,
        messages=int(count),
        answered_to_items_p50_ms=times[0],
        answered_to_items_p99_ms=times[1],
        due_to_items_p50_ms=times[2],
        due_to_items_p99_ms=times[3],
        answer_p50_ms=load["p50_ms"],
        answer_p99_ms=load["p99_ms"],
        wal_bytes=wal / max(1, load["ok"]),
        **{f"{part}_cpu_us": used / max(1, load["ok"]) * 1e6 for part, used in cpu.items()},
        **{f"{part}_peak_mib": machine.peak_mib(pids) for part, pids in _pids(system).items()},
        idle_before=idle,
        stolen=stolen,
    )


def _pids(system):
    workers = [pid for worker in system.workers for pid in worker.pids()]
    return {"receiver": system.receiver.pids(), "worker": workers}
