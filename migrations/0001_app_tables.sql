-- The tables shared with the web app. The app may have made them already, so everything here is "if not exists", no
-- row is touched, and nothing refers to a table that only the app has.

create schema if not exists pigeonhole;

create table if not exists users (
    id uuid primary key default gen_random_uuid()
);

create table if not exists user_phone_numbers (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references users (id) on delete cascade,
    phone_number varchar(20) not null unique,
    encrypted_phone_number text not null,
    verified boolean default false,
    verification_code varchar(6),
    verification_expires_at timestamptz,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);

create index if not exists idx_user_phone_numbers_user_id on user_phone_numbers (user_id);
create index if not exists idx_user_phone_numbers_phone on user_phone_numbers (phone_number);
create index if not exists idx_user_phone_numbers_verified on user_phone_numbers (verified);

comment on column user_phone_numbers.phone_number is
    'Blind index: 20 base64url characters of HMAC-SHA-256 over the E.164 number, never the number. Rows that the app '
    'wrote before Pigeonhole hold the number itself until `pigeonhole phone-numbers seal` has been run.';
comment on column user_phone_numbers.encrypted_phone_number is
    'The E.164 number, AES-256-GCM, bound to this row; see docs/ARCHITECTURE.md.';
comment on column user_phone_numbers.verification_code is
    'A keyed digest of the code, 6 characters, never the code.';

-- The app has a trigger of its own for this, under a name we cannot know; ours is added only where there is none.
create or replace function pigeonhole.touch_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end $$;

do $$
begin
    if not exists (
        select from pg_trigger where tgrelid = 'user_phone_numbers'::regclass and not tgisinternal
    ) then
        create trigger touch_updated_at before update on user_phone_numbers
            for each row execute function pigeonhole.touch_updated_at();
    end if;
end $$;

create table if not exists enrichment_items (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references users (id) on delete cascade,
    voice_note_id uuid,
    contact_id uuid,
    item_type varchar(20) not null check (item_type in ('field', 'tag', 'group', 'lastContactDate')),
    action varchar(10) not null check (action in ('add', 'update')),
    field_name varchar(50),
    value text not null,
    accepted boolean default true,
    applied boolean default false,
    created_at timestamptz default now()
);

-- The app's own history has databases with and without each of these.
alter table enrichment_items add column if not exists source varchar(50) default 'web';
alter table enrichment_items add column if not exists source_metadata jsonb;
alter table enrichment_items add column if not exists status varchar(30) default 'pending';

create index if not exists idx_enrichment_items_source on enrichment_items (source);
create index if not exists idx_enrichment_items_source_metadata on enrichment_items using gin (source_metadata);
