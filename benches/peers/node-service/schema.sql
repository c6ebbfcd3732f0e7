-- The app's tables that a message touches, with their indexes, as our migrations find them, and a
-- table for messages. For an empty database. Jobs are in graphile-worker's own schema.
create table users (id uuid primary key default gen_random_uuid());

create table user_phone_numbers (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references users on delete cascade,
    phone_number varchar(20) unique not null,
    encrypted_phone_number text not null,
    verified boolean default false,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);
create index idx_user_phone_numbers_user_id on user_phone_numbers (user_id);

create table enrichment_items (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references users on delete cascade,
    item_type varchar(20) not null
        check (item_type in ('field', 'tag', 'group', 'lastContactDate')),
    action varchar(10) not null check (action in ('add', 'update')),
    field_name varchar(50),
    value text not null,
    accepted boolean default true,
    applied boolean default false,
    source varchar(50) default 'web',
    source_metadata jsonb,
    status varchar(30) default 'pending',
    created_at timestamptz default now()
);
create index idx_enrichment_items_user_id on enrichment_items (user_id);
create index idx_enrichment_items_source on enrichment_items (source);
create index idx_enrichment_items_source_metadata on enrichment_items using gin (source_metadata);

create table inbound_messages (
    message_sid text primary key,
    params jsonb not null,
    state text not null default 'received',
    received_at timestamptz not null default now(),
    processed_at timestamptz
);
