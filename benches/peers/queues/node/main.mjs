// Measures one queue: `node main.mjs PEER COMMAND`, on the database that DATABASE_URL names.
//
//     setup                            make the queue's tables
//     enqueue-single CLIENTS SECONDS   enqueue one job a call from each client
//     enqueue-bulk JOBS                enqueue a thousand jobs a call
//     drain JOBS LIMIT                 run the jobs that are there, for at most LIMIT seconds
//     work [--hold]                    run jobs until killed, and print a line for each that starts
//     ping JOBS                        enqueue jobs one by one, with 50 to 150 ms between them
//
// The program in ../rust has the same commands and says more about them.
import { readFileSync } from 'node:fs';
import * as graphileWorker from './graphile-worker.mjs';
import * as pgBoss from './pg-boss.mjs';

/** How many jobs one call of a bulk enqueue takes. */
const BULK = 1000;

/** Connections of a process that enqueues one job after the other, or works. */
const CONNECTIONS = 20;

const MESSAGE = JSON.parse(readFileSync(new URL('../message.json', import.meta.url), 'utf8'));
const URL_OF_DATABASE = process.env.DATABASE_URL;

const peers = { 'graphile-worker': graphileWorker, 'pg-boss': pgBoss };

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const print = (line) => console.log(JSON.stringify(line));
const sentNow = (number) => ({ number, sent_us: nowMicros(), message: MESSAGE });

/** Microseconds since 1970, from a clock that does not count whole milliseconds only. */
function nowMicros() {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

function printFigure(figure, jobs, start) {
  print({ figure, jobs, seconds: (performance.now() - start) / 1000 });
}

const commands = {
  async setup(peer) {
    await peer.setup(URL_OF_DATABASE);
  },

  async 'enqueue-single'(peer, clients, seconds) {
    const queue = await peer.connect(URL_OF_DATABASE, +clients);
    await queue.enqueue(sentNow(0)); // opens a connection and prepares the statement
    let jobs = 0;
    const start = performance.now();
    const client = async () => {
      while (performance.now() - start < seconds * 1000) {
        await queue.enqueue(sentNow(0));
        jobs += 1;
      }
    };
    await Promise.all(Array.from({ length: +clients }, client));
    printFigure('enqueue_single', jobs, start);
  },

  async 'enqueue-bulk'(peer, jobs) {
    const queue = await peer.connect(URL_OF_DATABASE, CONNECTIONS);
    const start = performance.now();
    for (let first = 0; first < +jobs; first += BULK) {
      const count = Math.min(BULK, jobs - first);
      await queue.enqueueMany(Array.from({ length: count }, (_, i) => sentNow(first + i)));
    }
    printFigure('enqueue_bulk', +jobs, start);
  },

  async drain(peer, jobs, limit) {
    const queue = await peer.connect(URL_OF_DATABASE, CONNECTIONS);
    let started = 0;
    const start = performance.now();
    const isLate = () => performance.now() - start >= limit * 1000;
    await queue.start(() => {
      started += 1;
    });
    while (started < +jobs && !isLate()) await sleep(2);
    while (!isLate() && (await queue.hasUnfinished())) await sleep(10);
    printFigure('drain', Math.min(started, +jobs), start);
  },

  async work(peer, hold) {
    const queue = await peer.connect(URL_OF_DATABASE, CONNECTIONS);
    await queue.start(({ number, sent_us }) => {
      print({ job: number, sent_us, started_us: nowMicros() });
      return hold === '--hold' ? new Promise(() => {}) : undefined;
    });
    print({ ready: true });
    await new Promise(() => setInterval(() => {}, 60_000));
  },

  async ping(peer, jobs) {
    const queue = await peer.connect(URL_OF_DATABASE, CONNECTIONS);
    for (let number = 0; number < +jobs; number += 1) {
      // At no particular moment of a worker's timers.
      await sleep(50 + Math.random() * 100);
      await queue.enqueue(sentNow(number));
    }
  },
};

const [peer, command, ...rest] = process.argv.slice(2);
if (!peers[peer] || !commands[command] || !URL_OF_DATABASE) {
  console.error('usage: DATABASE_URL=… node main.mjs graphile-worker|pg-boss COMMAND [ARGUMENT…]');
  process.exit(2);
}
await commands[command](peers[peer], ...rest);
// The worker is not stopped in order: some queues wait for seconds then.
process.exit(0);
