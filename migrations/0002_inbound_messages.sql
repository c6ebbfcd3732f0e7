-- The durable inbox. A row is what makes a repeated webhook harmless, so it outlives its job; retention erases its
-- sealed body and leaves the row. Deleting a user deletes their messages.

create table pigeonhole.inbound_messages (
    message_sid text primary key,
    account_sid text not null,
    received_at timestamptz not null default now(),
    sender_index text not null,
    user_id uuid references users (id) on delete cascade,
    sealed bytea,
    state text not null default 'received' check (state in ('received', 'processed', 'ignored_unlinked')),
    finished_at timestamptz
);

-- Sealed bytes do not compress: do not try.
alter table pigeonhole.inbound_messages alter column sealed set storage external;

-- For deleting a user. The receiver's inserts, whose user is not known yet, do not touch it.
create index inbound_messages_user on pigeonhole.inbound_messages (user_id) where user_id is not null;

comment on column pigeonhole.inbound_messages.sender_index is 'Blind index of the sender''s address, never the address.';
comment on column pigeonhole.inbound_messages.user_id is 'Whose message it is; null until it is processed.';
comment on column pigeonhole.inbound_messages.sealed is 'Every webhook field, sealed; null once retention has erased it.';
