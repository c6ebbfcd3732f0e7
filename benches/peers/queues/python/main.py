"""Measures pgqueuer: `main.py pgqueuer COMMAND`, on the database that DATABASE_URL names.

    setup                            make the queue's tables
    enqueue-single CLIENTS SECONDS   enqueue one job a call from each client
    enqueue-bulk JOBS                enqueue a thousand jobs a call
    drain JOBS LIMIT                 run the jobs that are there, for at most LIMIT seconds
    work [--hold]                    run jobs until killed, and print a line for each that starts
    ping JOBS                        enqueue jobs one by one, with 50 to 150 ms between them

The program in ../rust has the same commands and says more about them.
"""

import asyncio
import json
import os
import pathlib
import random
import sys
import time

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

MESSAGE = json.loads((pathlib.Path(__file__).parent.parent / "message.json").read_text())
ENTRYPOINT = "no_op"

# How many jobs one call of a bulk enqueue takes.
BULK = 1000

# As many managers, with a connection each, as its own `tools/benchmark.py` starts. Its performance
# guide says to use larger batches than the 10 there if jobs are short.
MANAGERS = 5
BATCH = 100


def now_us():
    return time.time_ns() // 1000


def sent_now(number):
    return json.dumps({"number": number, "sent_us": now_us(), "message": MESSAGE}).encode()


def write(**line):
    print(json.dumps(line), flush=True)


def write_figure(figure, jobs, start):
    write(figure=figure, jobs=jobs, seconds=time.perf_counter() - start)


async def connect():
    return await asyncpg.connect(os.environ["DATABASE_URL"])


# "Use AsyncpgPoolDriver for producers; a single connection for QueueManager": performance guide.
async def producer(connections):
    pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=connections)
    return Queries(AsyncpgPoolDriver(pool))


async def start(handler):
    """Starts the managers. Their tasks must be held."""
    running = []
    for _ in range(MANAGERS):
        manager = PgQueuer(AsyncpgDriver(await connect()))
        manager.entrypoint(ENTRYPOINT)(handler)
        running.append(asyncio.create_task(manager.run(batch_size=BATCH)))
    return running


async def setup():
    queries = Queries(AsyncpgDriver(await connect()))
    await queries.install()
    await queries.optimize_autovacuum()  # "Run pgq autovac after installation": the same guide


async def enqueue_single(clients, seconds):
    queries = await producer(int(clients))
    await queries.enqueue(ENTRYPOINT, sent_now(0))  # opens a connection, prepares the statement
    begin, jobs = time.perf_counter(), 0

    async def client():
        nonlocal jobs
        while time.perf_counter() - begin < float(seconds):
            await queries.enqueue(ENTRYPOINT, sent_now(0))
            jobs += 1

    await asyncio.gather(*[client() for _ in range(int(clients))])
    write_figure("enqueue_single", jobs, begin)


async def enqueue_bulk(jobs):
    queries, jobs, begin = await producer(1), int(jobs), time.perf_counter()
    for first in range(0, jobs, BULK):
        payloads = [sent_now(number) for number in range(first, min(jobs, first + BULK))]
        count = len(payloads)
        await queries.enqueue([ENTRYPOINT] * count, payloads, [0] * count)
    write_figure("enqueue_bulk", jobs, begin)


async def drain(jobs, limit):
    connection, jobs = await connect(), int(jobs)
    begin, started = time.perf_counter(), 0

    async def handler(job: Job) -> None:
        nonlocal started
        json.loads(job.payload)  # as the other peers do before they call a handler
        started += 1

    def is_late():
        return time.perf_counter() - begin >= float(limit)

    running = await start(handler)
    while started < jobs and not is_late():
        await asyncio.sleep(0.002)
    while not is_late() and await connection.fetchval("select exists (select from pgqueuer)"):
        await asyncio.sleep(0.01)
    write_figure("drain", min(started, jobs), begin)
    del running


async def work(*options):
    async def handler(job: Job) -> None:
        started = now_us()
        payload = json.loads(job.payload)
        write(job=payload["number"], sent_us=payload["sent_us"], started_us=started)
        if "--hold" in options:
            await asyncio.Event().wait()

    running = await start(handler)
    await asyncio.sleep(1)  # until the managers listen
    write(ready=True)
    await asyncio.gather(*running)


async def ping(jobs):
    queries = await producer(1)
    for number in range(int(jobs)):
        # At no particular moment of a worker's timers.
        await asyncio.sleep(random.uniform(0.05, 0.15))
        await queries.enqueue(ENTRYPOINT, sent_now(number))


COMMANDS = {
    "setup": setup,
    "enqueue-single": enqueue_single,
    "enqueue-bulk": enqueue_bulk,
    "drain": drain,
    "work": work,
    "ping": ping,
}


async def main(command, *arguments):
    await COMMANDS[command](*arguments)
    # The managers are not stopped in order: that waits for their timers.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] != "pgqueuer" or sys.argv[2] not in COMMANDS:
        sys.exit("usage: DATABASE_URL=… main.py pgqueuer COMMAND [ARGUMENT…]")
    uvloop.run(main(*sys.argv[2:]))
