// The receiver of the Node service: checks the signature, commits the message with its job, and
// then responds.
//
// Message and job are one statement, so one round trip. The documentation of `pg` shows BEGIN, two
// statements and COMMIT, each awaited, which takes four. The cluster module runs PROCESSES of it.
import cluster from 'node:cluster';
import express from 'express';
import pg from 'pg';
import twilio from 'twilio';

const { DATABASE_URL, PORT, PUBLIC_URL, TWILIO_AUTH_TOKEN, PROCESSES = '1' } = process.env;
const CONNECTIONS = 16;

// A repeated webhook inserts nothing and enqueues nothing.
const ACCEPT = `with message as (
    insert into inbound_messages (message_sid, params) values ($1::text, $2)
    on conflict do nothing
    returning 1
  )
  select (graphile_worker.add_job(
    'process_message', json_build_object('sid', $1::text, 'from', $3::text, 'body', $4::text)
  )).id
  from message`;

function serve() {
  const pool = new pg.Pool({
    connectionString: DATABASE_URL,
    max: CONNECTIONS,
    idleTimeoutMillis: 0,
  });
  pool.on('error', (error) => console.error(error.message));

  const app = express().disable('x-powered-by').disable('etag');
  app.post(
    '/api/sms/webhook',
    express.urlencoded({ extended: false, limit: '64kb', parameterLimit: 200 }),
    twilio.webhook(TWILIO_AUTH_TOKEN, { url: PUBLIC_URL }),
    async ({ body }, response) => {
      const values = [body.MessageSid, JSON.stringify(body), body.From, body.Body];
      await pool.query({ name: 'accept', text: ACCEPT, values });
      response.type('text/xml').send('<Response/>');
    },
  );
  app.use((error, _request, response, _next) => {
    if (!error.status) console.error(error.message);
    response.status(error.status ?? 503).end();
  });
  const server = app.listen(+PORT, '127.0.0.1');
  server.keepAliveTimeout = 65_000;
}

if (cluster.isPrimary && +PROCESSES > 1) {
  for (let i = 0; i < +PROCESSES; i += 1) cluster.fork();
} else {
  serve();
}
