-- The tables that Pigeonhole shares with the web app. The app may have made them already, so
-- everything here is "if not exists", changes no row, and refers to no table that only the app has.
-- The trigger that keeps `updated_at` is in functions/pigeonhole.touch_updated_at.sql.

-- While a migration waits for a lock, the app's queries wait behind it. It fails after ten seconds;
-- `pigeonhole migrate` can be run again.
set local lock_timeout = '10s';
set local client_min_messages = warning;

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

create table if not exists enrichment_items (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references users (id) on delete cascade,
    voice_note_id uuid,
    contact_id uuid,
    item_type varchar(20) not null
        check (item_type in ('field', 'tag', 'group', 'lastContactDate')),
    action varchar(10) not null check (action in ('add', 'update')),
    field_name varchar(50),
    value text not null,
    accepted boolean default true,
    applied boolean default false,
    created_at timestamptz default now()
);

-- Not every version of the app has these columns. A constant default rewrites no row.
alter table enrichment_items
    add column if not exists source varchar(50) default 'web',
    add column if not exists source_metadata jsonb,
    add column if not exists status varchar(30) default 'pending';

-- Refuses tables of the app that Pigeonhole cannot work with: otherwise the first message fails.
do $$
declare
    problems text;
begin
    with needed (tab, col, typ, len) as (values
        ('users', 'id', 'uuid', null),
        ('user_phone_numbers', 'id', 'uuid', null),
        ('user_phone_numbers', 'user_id', 'uuid', null),
        ('user_phone_numbers', 'phone_number', 'character varying', 20),
        ('user_phone_numbers', 'encrypted_phone_number', 'text', null),
        ('user_phone_numbers', 'verified', 'boolean', null),
        ('user_phone_numbers', 'verification_code', 'character varying', 6),
        ('user_phone_numbers', 'verification_expires_at', 'timestamp with time zone', null),
        ('user_phone_numbers', 'created_at', null, null),
        ('user_phone_numbers', 'updated_at', null, null),
        ('enrichment_items', 'id', 'uuid', null),
        ('enrichment_items', 'user_id', 'uuid', null),
        ('enrichment_items', 'item_type', 'character varying', 5),
        ('enrichment_items', 'action', 'character varying', 3),
        ('enrichment_items', 'field_name', 'character varying', 50),
        ('enrichment_items', 'value', 'text', null),
        ('enrichment_items', 'accepted', 'boolean', null),
        ('enrichment_items', 'applied', 'boolean', null),
        ('enrichment_items', 'status', 'character varying', 7),
        ('enrichment_items', 'source', 'character varying', 3),
        ('enrichment_items', 'source_metadata', 'jsonb', null)
    ), present as (
        select tab, attname as col, format_type(atttypid, null) as typ, atttypmod - 4 as len,
            attnotnull and not atthasdef and attidentity = '' as must_be_given
        from (values ('users'), ('user_phone_numbers'), ('enrichment_items')) as t (tab)
        join pg_attribute on attrelid = tab::regclass and attnum > 0 and not attisdropped
    ), found (problem) as (
        select format('%s.%s is missing', tab, col)
        from needed where not exists (
            select from present p where (p.tab, p.col) = (needed.tab, needed.col))
        union all
        select format('%s.%s is %s', tab, col, format_type(atttypid, atttypmod))
        from needed
        join pg_attribute on attrelid = tab::regclass and attname = col and not attisdropped
        where format_type(atttypid, null)
                not in (typ, case typ when 'character varying' then 'text' else typ end)
            or (atttypmod > 0 and atttypmod - 4 < len)
        union all
        select format('%s.%s must be given, and we do not know it', tab, col)
        from present
        where must_be_given and tab <> 'users'
            and not exists (select from needed n where (n.tab, n.col) = (present.tab, present.col))
        union all
        select format('%s.%s is not unique', tab, col)
        from (values ('user_phone_numbers', 'phone_number'), ('enrichment_items', 'id'))
            as u (tab, col)
        where not exists (
            select from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0]
            where indrelid = tab::regclass and attname = col
                and indisunique and indisvalid and indnkeyatts = 1 and indpred is null
        )
    )
    select string_agg(problem, '; ' order by problem) into problems from found;
    if problems is not null then
        raise exception 'the tables in this database are not the ones Pigeonhole can work with: %',
            problems;
    end if;
end $$;

create index if not exists idx_user_phone_numbers_user_id on user_phone_numbers (user_id);
create index if not exists idx_user_phone_numbers_phone on user_phone_numbers (phone_number);
create index if not exists idx_user_phone_numbers_verified on user_phone_numbers (verified);
create index if not exists idx_enrichment_items_source on enrichment_items (source);
create index if not exists idx_enrichment_items_source_metadata
    on enrichment_items using gin (source_metadata);

comment on column user_phone_numbers.phone_number is
    'Blind index: 20 base64url characters of HMAC-SHA-256 over the E.164 number, never the number. '
    'Rows that the app wrote before Pigeonhole hold the number itself until '
    '`pigeonhole phone-numbers seal` has been run.';
comment on column user_phone_numbers.encrypted_phone_number is
    'The E.164 number, AES-256-GCM, bound to this row; see docs/ARCHITECTURE.md.';
comment on column user_phone_numbers.verification_code is
    'A keyed digest of the code, 6 characters, never the code.';
