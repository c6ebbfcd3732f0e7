-- A table for messages, beside the app's tables of migrations/0001_app_tables.sql. Jobs are in
-- graphile-worker's own schema.
create table inbound_messages (
    message_sid text primary key,
    params jsonb not null,
    state text not null default 'received',
    received_at timestamptz not null default now(),
    processed_at timestamptz
);
