-- The durable inbox. A row is what makes a repeated webhook harmless, so it outlives its job; retention erases its
-- sealed body and leaves the row.

create table pigeonhole.inbound_messages (
    message_sid text primary key,
    account_sid text not null,
    received_at timestamptz not null default now(),
    sender_index text not null,
    user_id uuid,
    sealed bytea,
    state text not null default 'received' check (state in ('received', 'processed', 'ignored_unlinked')),
    finished_at timestamptz
);

comment on column pigeonhole.inbound_messages.sender_index is 'Blind index of the sender''s address, never the address.';
comment on column pigeonhole.inbound_messages.sealed is 'Every webhook field, sealed; null once retention has erased it.';
