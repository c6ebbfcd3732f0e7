-- The tables of Pigeonhole alone. Its functions are in functions/pigeonhole.*.sql.

-- The versions of the functions in this database: see README.md.
create table pigeonhole.applied_functions (
    name text primary key,
    revision integer not null,
    sha256 text not null,
    applied_at timestamptz not null default now()
);

comment on column pigeonhole.applied_functions.name is 'The file in functions/, without `.sql`.';
comment on column pigeonhole.applied_functions.revision is
    'The revision in the header of the file. `pigeonhole migrate` never replaces a newer one.';

-- The durable inbox: one row for each message. The row makes a repeated webhook harmless, so it
-- outlives its job. The cleanup erases the sealed body after the retention and keeps the row.
create table pigeonhole.inbound_messages (
    message_sid text primary key,
    account_sid text not null,
    received_at timestamptz not null default now(),
    sender_index text not null,
    user_id uuid references users (id) on delete cascade,
    sealed bytea,
    state text not null default 'received' check (state in (
        'received', 'processed', 'failed', 'rate_limited', 'ignored_unlinked', 'ignored_disabled',
        'keyword_stop', 'keyword_start', 'keyword_help')),
    finished_at timestamptz,
    opened_at timestamptz,
    reserved_for timestamptz,
    extracted_by text,
    items integer,
    reply uuid,
    reason text,
    replayed_at timestamptz
);

-- Sealed bytes do not compress, so Postgres need not try.
alter table pigeonhole.inbound_messages alter column sealed set storage external;

-- For the deletion of a user. The receiver inserts rows without a user, which it does not contain.
create index inbound_messages_user on pigeonhole.inbound_messages (user_id)
    where user_id is not null;
-- For `pigeonhole messages` and the observer.
create index inbound_messages_received on pigeonhole.inbound_messages (received_at);
-- For the cleanup of message bodies.
create index inbound_messages_sealed on pigeonhole.inbound_messages (finished_at)
    where sealed is not null and finished_at is not null;

comment on column pigeonhole.inbound_messages.sender_index is
    'Blind index of the sender''s address, never the address.';
comment on column pigeonhole.inbound_messages.user_id is
    'The user whose message it is; null until it is processed.';
comment on column pigeonhole.inbound_messages.sealed is
    'Every field of the webhook, sealed; null after the cleanup has erased it.';
comment on column pigeonhole.inbound_messages.opened_at is 'When a worker first opened it.';
comment on column pigeonhole.inbound_messages.reserved_for is
    'The reservation in its user''s rate limit: no worker processes it before. It is made once, so '
    'a retry is not charged again.';
comment on column pigeonhole.inbound_messages.extracted_by is
    'The extractor that found the items: rules, or the name of a model.';
comment on column pigeonhole.inbound_messages.items is 'The number of items that it made.';
comment on column pigeonhole.inbound_messages.reply is
    'The send that replies to it, if there is one.';
comment on column pigeonhole.inbound_messages.reason is
    'Why it failed: a word from a closed set.';
comment on column pigeonhole.inbound_messages.replayed_at is
    'When an operator last replayed it.';

-- A number that a user wants to link, until the user has proved that it is theirs. One row for each
-- user, apart from `user_phone_numbers`: a pending verification affects no other user.
create table pigeonhole.pending_verifications (
    user_id uuid primary key references users (id) on delete cascade,
    number_index text not null,
    sealed_number bytea not null,
    sealed_code bytea,
    code_expires_at timestamptz not null,
    wrong_tries smallint not null default 0,
    requested_at timestamptz not null default clock_timestamp()
);

comment on column pigeonhole.pending_verifications.number_index is
    'Blind index of the number, never the number.';
comment on column pigeonhole.pending_verifications.sealed_code is
    'The code, sealed; null after it was used, has expired or was guessed wrong too often.';

-- One row for each outgoing SMS. It says `sending` before the request to Twilio begins. If the
-- response is lost, the row remains in that state, and the SMS is not sent twice.
create table pigeonhole.sends (
    id uuid primary key,
    user_id uuid references users (id) on delete cascade,
    purpose text not null
        constraint sends_purpose_check check (purpose in ('verification', 'reply')),
    reply_kind text check (reply_kind in (
        'processed', 'not_linked', 'rate_limited', 'failed', 'media_too_large',
        'media_unsupported')),
    recipient_index text not null,
    sealed bytea,
    state text not null default 'pending' check (state in (
        'pending', 'sending', 'unknown', 'sent', 'undelivered', 'failed', 'delivered')),
    reason text,
    error_code integer,
    twilio_sid text unique,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    started_at timestamptz,
    posted_at timestamptz,
    updated_at timestamptz not null default clock_timestamp(),
    constraint sends_reply_kind check ((purpose = 'reply') = (reply_kind is not null)),
    constraint sends_verification_user check (purpose = 'reply' or user_id is not null)
);

create index sends_user on pigeonhole.sends (user_id, created_at);
create index sends_created on pigeonhole.sends (created_at);
create index sends_sealed on pigeonhole.sends (expires_at) where sealed is not null;

comment on column pigeonhole.sends.user_id is
    'The user who caused it; null for a reply to a number that is not linked.';
comment on column pigeonhole.sends.reply_kind is 'Which text a reply has.';
comment on column pigeonhole.sends.recipient_index is
    'Blind index of the recipient''s number, never the number.';
comment on column pigeonhole.sends.sealed is
    'Recipient and text, sealed; null when they are not needed any more.';
comment on column pigeonhole.sends.reason is
    'Why it failed: a word from a closed set, never a text that was sent.';
comment on column pigeonhole.sends.expires_at is 'It is not sent after this time.';
comment on column pigeonhole.sends.started_at is
    'When it first passed its limits. It does not pass them again if Twilio refused it that time.';
comment on column pigeonhole.sends.posted_at is 'When the last request to Twilio began.';

-- The recipients who opted out, and those who opted in again. A row belongs to a number and not to
-- a user, and remains when the user is deleted: a STOP must be respected for ever. Messages may be
-- processed in another order than they arrived, so the time of the message decides, and a START
-- leaves a row as well.
create table pigeonhole.opt_outs (
    number_index text primary key,
    opted_out boolean not null,
    since timestamptz not null,
    source text not null check (source in ('keyword', 'twilio'))
);

comment on column pigeonhole.opt_outs.number_index is
    'Blind index of the address, never the address.';
comment on column pigeonhole.opt_outs.since is
    'When the message with the keyword arrived, or when Twilio reported the opt-out.';

-- The events that limits count: one row for each key and event, for exact sliding windows. A key is
-- a blind index of what the limit counts by (a user, a number, an address).
create table pigeonhole.limit_log (
    key text not null,
    at timestamptz not null
);

create index limit_log_key on pigeonhole.limit_log (key, at);
create index limit_log_at on pigeonhole.limit_log (at);

-- Responses to requests with an Idempotency-Key. A repeated request gets the same response and has
-- no second effect.
create table pigeonhole.idempotency_keys (
    user_id uuid not null references users (id) on delete cascade,
    key_index text not null,
    fingerprint text not null,
    status smallint,
    sealed_body bytea,
    created_at timestamptz not null default now(),
    primary key (user_id, key_index)
);

create index idempotency_keys_created on pigeonhole.idempotency_keys (created_at);

-- The files of messages. The row is committed before its object is written, so that every object is
-- known to the database, whatever process dies.
create table pigeonhole.media (
    id uuid primary key,
    message_sid text not null
        references pigeonhole.inbound_messages (message_sid) on delete cascade,
    user_id uuid not null references users (id) on delete cascade,
    position smallint not null,
    state text not null default 'storing'
        check (state in ('storing', 'stored', 'refused', 'gone', 'erased')),
    reason text,
    media_sid text,
    content_type text,
    bytes bigint,
    sha256 bytea,
    width integer,
    height integer,
    object_key text unique,
    sealed_key bytea,
    created_at timestamptz not null default clock_timestamp(),
    begun_at timestamptz not null default clock_timestamp(),
    stored_at timestamptz,
    erased_at timestamptz,
    deleted_at_twilio timestamptz,
    unique (message_sid, position),
    check ((object_key is null) = (sealed_key is null)),
    check (state in ('storing', 'stored') or object_key is null)
);

create index media_user on pigeonhole.media (user_id);
create index media_stored on pigeonhole.media (stored_at) where state = 'stored';
create index media_at_twilio on pigeonhole.media (message_sid)
    where deleted_at_twilio is null and media_sid is not null;
create index media_storing on pigeonhole.media (begun_at)
    where state = 'storing' and object_key is not null;

comment on column pigeonhole.media.reason is 'Why it was refused: a word from a closed set.';
comment on column pigeonhole.media.content_type is
    'The type that its first bytes show, not the type that the webhook names.';
comment on column pigeonhole.media.sha256 is
    'SHA-256 of the file as Twilio served it; null after the file was erased.';
comment on column pigeonhole.media.object_key is
    'The name of the object with the sealed file. It is random.';
comment on column pigeonhole.media.sealed_key is
    'The key of this object, sealed. Without it nobody can read the object, so clearing this '
    'column erases the file at once; a job deletes the object later.';
comment on column pigeonhole.media.begun_at is 'When an attempt last began to store it.';

-- The prefix of the names of this database's objects. The cleanup of orphaned objects lists only
-- this prefix, so it finds no object of another database.
create table pigeonhole.media_namespace (
    name text primary key
);

insert into pigeonhole.media_namespace select left(replace(gen_random_uuid()::text, '-', ''), 8);

-- Objects that no row needs. A job deletes them, because a transaction cannot. The triggers of
-- functions/pigeonhole.queue_unused_object.sql add the rows.
create table pigeonhole.media_garbage (
    object_key text primary key,
    queued_at timestamptz not null default clock_timestamp()
);
