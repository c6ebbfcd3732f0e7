-- Linking a phone number: what a user claims, the SMS that go out, and what bounds them.

-- Nothing ever used it: a message that goes out is a row of `sends`, whatever it is for.
drop table pigeonhole.verification_sends;

-- A number that a user says is theirs, until they have proved it. It is kept apart from `user_phone_numbers`, one row a
-- user, so that nobody's claim stands in anybody's way.
create table pigeonhole.phone_number_claims (
    user_id uuid primary key references users (id) on delete cascade,
    number_index text not null,
    sealed_number bytea not null,
    sealed_code bytea,
    code_expires_at timestamptz not null,
    wrong_tries smallint not null default 0,
    claimed_at timestamptz not null default clock_timestamp()
);

comment on column pigeonhole.phone_number_claims.number_index is 'Blind index of the number, never the number.';
comment on column pigeonhole.phone_number_claims.sealed_code is
    'The code, sealed; null once it was used, has expired or was guessed at too often.';

-- One row an outgoing SMS. It says `sending` before Twilio is asked, so that an answer that never came leaves a trace
-- and nothing is sent twice.
create table pigeonhole.sends (
    id uuid primary key,
    user_id uuid not null references users (id) on delete cascade,
    purpose text not null check (purpose in ('verification')),
    recipient_index text not null,
    sealed bytea,
    state text not null default 'pending'
        check (state in ('pending', 'sending', 'unknown', 'sent', 'undelivered', 'failed', 'delivered')),
    reason text,
    error_code integer,
    twilio_sid text unique,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    posted_at timestamptz,
    updated_at timestamptz not null default clock_timestamp()
);

create index sends_user on pigeonhole.sends (user_id, created_at);
create index sends_created on pigeonhole.sends (created_at);
create index sends_sealed on pigeonhole.sends (expires_at) where sealed is not null;

comment on column pigeonhole.sends.recipient_index is 'Blind index of the recipient''s number, never the number.';
comment on column pigeonhole.sends.sealed is 'Recipient and text, sealed; null once they are of no more use.';
comment on column pigeonhole.sends.reason is 'Why it failed: a word from a closed set, never a text that was sent.';
comment on column pigeonhole.sends.expires_at is 'After this it is not sent any more.';
comment on column pigeonhole.sends.posted_at is 'When Twilio was about to be asked.';

-- What limits count: one row a key and event, for exact sliding windows. A key is a blind index of what it counts by
-- (a user, a number, an address), so a row says nothing of whom.
create table pigeonhole.limit_log (
    key text not null,
    at timestamptz not null
);

create index limit_log_key on pigeonhole.limit_log (key, at);
create index limit_log_at on pigeonhole.limit_log (at);

-- Answers to requests that carried an Idempotency-Key, so that a repeat is answered alike and has no second effect.
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
