// pg-boss.
import pg from 'pg';
import { PgBoss } from 'pg-boss';

const QUEUE = 'no_op';

// `notify`: workers wake at once (docs of createQueue). `heartbeatSeconds`: a worker that died is
// found after that time, and not after the 15 minutes of `expireInSeconds`; 60 as in the
// documentation's example for heartbeatRefreshSeconds, https://pgboss.io/api/workers.
const OPTIONS_OF_QUEUE = { notify: true, heartbeatSeconds: 60 };

// Batches, several at once, and the next one at once while they are full: docs of
// `localConcurrency` and `burstWhenBatchFull`. The handler gets whole batches; a batch is marked as
// done in one statement.
const OPTIONS_OF_WORKER = { batchSize: 500, localConcurrency: 4, burstWhenBatchFull: true };

async function start(url, connections) {
  const boss = new PgBoss({ connectionString: url, max: connections, useListenNotify: true });
  boss.on('error', (error) => console.error(error.message));
  return await boss.start();
}

export async function setup(url) {
  const boss = await start(url, 4);
  await boss.createQueue(QUEUE, OPTIONS_OF_QUEUE);
  await boss.stop();
}

export async function connect(url, connections) {
  const boss = await start(url, connections);
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  return {
    enqueue: (job) => boss.send(QUEUE, job),
    enqueueMany: (jobs) => boss.insert(QUEUE, jobs.map((data) => ({ data }))),
    start: (handler) =>
      boss.work(QUEUE, OPTIONS_OF_WORKER, (jobs) => Promise.all(jobs.map(({ data }) => handler(data)))),
    async hasUnfinished() {
      const jobs = `select exists (select from pgboss.job
        where name = $1 and state in ('created', 'retry', 'active')) as some`;
      const { rows } = await pool.query(jobs, [QUEUE]);
      return rows[0].some;
    },
  };
}
