-- The files that messages bring. A row is there before its object, so that whatever is killed, somebody knows the object.

create table pigeonhole.media (
    id uuid primary key,
    message_sid text not null references pigeonhole.inbound_messages (message_sid) on delete cascade,
    user_id uuid not null references users (id) on delete cascade,
    position smallint not null,
    state text not null default 'storing' check (state in ('storing', 'stored', 'refused', 'gone', 'erased')),
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
create index media_at_twilio on pigeonhole.media (message_sid) where deleted_at_twilio is null and media_sid is not null;
create index media_storing on pigeonhole.media (begun_at) where state = 'storing' and object_key is not null;

comment on column pigeonhole.media.reason is 'Why it was refused: a word from a closed set.';
comment on column pigeonhole.media.content_type is 'What its first bytes say, not what was claimed.';
comment on column pigeonhole.media.sha256 is 'Of the file as it came; null once it is erased.';
comment on column pigeonhole.media.object_key is 'The name of the object with the sealed file: random, says nothing.';
comment on column pigeonhole.media.sealed_key is
    'The key of this one object, sealed. Without it the object is noise: erasing the row erases the file at once, and '
    'the object follows.';
comment on column pigeonhole.media.begun_at is 'When an attempt last began to store it.';

-- Under which our objects are named, so that whoever looks for those that no row knows finds none of another database's.
create table pigeonhole.media_namespace (
    name text primary key
);

insert into pigeonhole.media_namespace select left(replace(gen_random_uuid()::text, '-', ''), 8);

-- Objects that no row needs any longer. They are deleted by a job, as a transaction cannot.
create table pigeonhole.media_garbage (
    object_key text primary key,
    queued_at timestamptz not null default clock_timestamp()
);

-- Whatever lets go of an object, be it us, the deletion of a message or that of a user, puts it there.
create function pigeonhole.let_go_of_object() returns trigger language plpgsql as $$
begin
    insert into pigeonhole.media_garbage (object_key) values (old.object_key) on conflict do nothing;
    return null;
end $$;

create trigger let_go_on_delete after delete on pigeonhole.media
    for each row when (old.object_key is not null) execute function pigeonhole.let_go_of_object();

create trigger let_go_on_update after update of object_key on pigeonhole.media
    for each row when (old.object_key is not null and old.object_key is distinct from new.object_key)
    execute function pigeonhole.let_go_of_object();
