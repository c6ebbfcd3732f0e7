"""The part `recovery`: how long the jobs of a worker that was killed wait for another one.

It takes as long as the slowest queue waits. So all queues are measured at the same time, each on a
database of its own: a worker without jobs uses almost nothing.
"""

import threading
import time

from driver import results
from driver.queues import Queue

# When no job has started for so long, a worker has claimed all that it will.
QUIET = 3


def measure(server, programs, scale, peers):
    threads = []
    for number, peer in enumerate(peers):
        queue = Queue(peer, server, programs, database=f"recovery_{number}")
        thread = threading.Thread(target=_measure_and_write, args=(queue, scale))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()


def _measure_and_write(queue, scale):
    try:
        results.write(part="recovery", peer=queue.peer, **_kill_one_of_two(queue, scale))
    except Exception as error:  # the others are measured all the same
        results.failed("recovery", queue.peer, error)


def _kill_one_of_two(queue, scale):
    jobs = scale.held_jobs
    queue.set_up()
    # Jobs that start here never end.
    killed = queue.start_worker("--hold")
    queue.run("enqueue-bulk", jobs)
    _wait_until_quiet(killed)
    # This one may run what the other has not claimed.
    other = queue.start_worker()
    try:
        _wait_until_quiet(other)
        ran_before = _jobs(other)
        killed.kill()
        killed_us = time.time_ns() // 1000
        other.wait_for(lambda _: len(_jobs(other)) == jobs, scale.recovery_limit)
        runs = [line for line in other.lines if "job" in line]
    finally:
        other.kill()
    waited = {}
    for run in runs:
        if run["job"] not in ran_before:
            seconds = (run["started_us"] - killed_us) / 1e6
            waited[run["job"]] = min(seconds, waited.get(run["job"], seconds))
    return {
        "figure": "recovery",
        "jobs": jobs,
        "held": jobs - len(ran_before),
        "recovered": len(waited),
        "ran_again": len(runs) - len({run["job"] for run in runs}),
        "first_s": min(waited.values(), default=None),
        "last_s": max(waited.values(), default=None),
        "limit_s": scale.recovery_limit,
    }


def _jobs(worker):
    return {line["job"] for line in worker.lines if "job" in line}


def _wait_until_quiet(worker):
    count, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET:
        if len(worker.lines) != count:
            count, since = len(worker.lines), time.monotonic()
        time.sleep(0.1)
