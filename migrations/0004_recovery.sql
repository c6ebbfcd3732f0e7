-- Recovery: messages that no webhook brought are fetched from Twilio's list of messages.

set local lock_timeout = '10s';

-- Both columns are added without rewriting the table.
alter table pigeonhole.inbound_messages
    add column source text not null default 'webhook',
    add column sent_at timestamptz;

-- `not valid`: every row that exists came by a webhook, so nothing has to be read under the lock.
alter table pigeonhole.inbound_messages
    add constraint inbound_messages_source_check
        check (source in ('webhook', 'list', 'alert')) not valid;

comment on column pigeonhole.inbound_messages.source is
    'How it came: by its webhook; rebuilt from Twilio''s list of messages; or with the parameters '
    'of its failed webhook, from Twilio''s alerts.';
comment on column pigeonhole.inbound_messages.sent_at is
    'When Twilio received it, for a message that was recovered; null after a webhook, which comes '
    'at once.';

-- How far recovery has looked, for each number of ours whose messages come to us. A number that
-- points elsewhere loses its row, so that messages which were meant for another program are never
-- recovered.
create table pigeonhole.recovery_watermarks (
    number_index text primary key,
    since timestamptz not null,
    looked_until timestamptz not null
);

comment on column pigeonhole.recovery_watermarks.number_index is
    'Blind index of our number.';
comment on column pigeonhole.recovery_watermarks.since is
    'When the number was first seen pointing at us. No older message is recovered unasked.';
comment on column pigeonhole.recovery_watermarks.looked_until is
    'Every message that Twilio listed with an earlier time is known.';

-- When a look was last asked for: when a process starts, and when the database is back after an
-- outage. There is one row at most.
create table pigeonhole.recovery_requests (
    one boolean primary key default true check (one),
    requested_at timestamptz not null
);

-- The messages whose rows were deleted, with their user or by hand. Neither a late webhook nor
-- recovery brings such a message back. A row says nothing of what was erased: no sender, no user,
-- no content. The trigger of functions/pigeonhole.remember_erased_messages.sql adds the rows.
create table pigeonhole.erased_messages (
    message_sid text primary key,
    erased_at timestamptz not null default now()
);

-- Messages that Twilio lists and that cannot be rebuilt, so that each is reported once.
create table pigeonhole.unrecoverable_messages (
    message_sid text primary key,
    reason text not null check (reason in ('redacted', 'unreadable')),
    seen_at timestamptz not null default now()
);

comment on column pigeonhole.unrecoverable_messages.reason is
    'redacted: Twilio has neither text nor files of it any more; unreadable: it is no message of '
    'the form that a webhook has.';
