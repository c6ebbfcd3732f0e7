// The worker of the Node service: graphile-worker with a local queue and batched completion.
//
// A message's user, items and state are one statement, so one round trip. Written out with BEGIN
// and COMMIT it would be five. graphile-worker marks the job as done in another transaction, so the
// statement may run twice: the items have ids that follow from the message.
import { Logger, run } from 'graphile-worker';
import pg from 'pg';

const { DATABASE_URL } = process.env;
const CONCURRENCY = 16;

const FINISH = `with owner as (
    select user_id from user_phone_numbers where phone_number = $2 and verified
  ), items as (
    insert into enrichment_items (id, user_id, item_type, action, field_name, value, accepted,
      applied, source, source_metadata, status)
    select md5($1::text || ':' || item)::uuid, user_id, item_type, 'add', field_name, value, false,
      false, 'sms', $5, 'pending'
    from owner, (values
      ('note', 'field', 'customNotes', $3::text),
      ('tag', 'tag', null, $4::text)
    ) item (item, item_type, field_name, value)
    on conflict (id) do nothing
  )
  update inbound_messages
  set state = case when exists (select from owner) then 'processed' else 'unknown_sender' end,
    processed_at = now()
  where message_sid = $1::text`;

async function processMessage({ sid, from, body }, { withPgClient }) {
  const tag = /#(\w+)/.exec(body)?.[1] ?? 'untagged';
  const note = body.replace(/#\w+/g, '').trim();
  const metadata = JSON.stringify({
    phone_number: from,
    message_sid: sid,
    media_type: null,
    original_message: body,
  });
  const values = [sid, from, note, tag, metadata];
  await withPgClient((client) => client.query({ name: 'finish', text: FINISH, values }));
}

const pool = new pg.Pool({ connectionString: DATABASE_URL, max: CONCURRENCY + 4 });
pool.on('error', (error) => console.error(error.message));
pool.on('connect', (client) => client.on('error', (error) => console.error(error.message)));

// Batching as on https://worker.graphile.org/docs/performance. Without the delay of 10 ms after a
// fetch that found nothing, each notification fetches, and the highest steady rate is lower.
await run({
  taskList: { process_message: processMessage },
  preset: {
    worker: {
      pgPool: pool,
      concurrentJobs: CONCURRENCY,
      localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      logger: new Logger(() => (level, message) => {
        if (level === 'error') console.error(message);
      }),
    },
  },
});
