// graphile-worker, with the settings of its own documentation for high throughput:
// https://worker.graphile.org/docs/performance
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';

const silent = new Logger(() => () => {});

const preset = (connectionString) => ({
  worker: {
    connectionString,
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    logger: silent,
  },
});

// https://worker.graphile.org/docs/sql-add-job: what a caller uses who enqueues in a transaction.
const ADD_JOB = "select graphile_worker.add_job('no_op', $1::json)";

export async function setup(url) {
  const utils = await makeWorkerUtils({ preset: preset(url) });
  await utils.migrate();
  await utils.release();
}

export async function connect(url, connections) {
  const pool = new pg.Pool({ connectionString: url, max: connections });
  const utils = await makeWorkerUtils({ preset: preset(url) });
  return {
    enqueue: (job) => pool.query({ name: 'add_job', text: ADD_JOB, values: [JSON.stringify(job)] }),
    enqueueMany: (jobs) => utils.addJobs(jobs.map((payload) => ({ identifier: 'no_op', payload }))),
    start: (handler) => run({ preset: preset(url), taskList: { no_op: handler }, noHandleSignals: true }),
    async hasUnfinished() {
      const jobs = 'select exists (select from graphile_worker._private_jobs) as some';
      const { rows } = await pool.query(jobs);
      return rows[0].some;
    },
  };
}
