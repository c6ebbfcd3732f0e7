-- Adds an object to `pigeonhole.media_garbage` when its row stops naming it: because the file is
-- erased, or because its message or user is deleted.
--
-- Revision: 1
-- Called by: the triggers below.
-- Locks: the new row of `media_garbage`.
-- Returns: null, as an `after` trigger may.
create or replace function pigeonhole.queue_unused_object() returns trigger language plpgsql as $$
begin
    insert into pigeonhole.media_garbage (object_key) values (old.object_key)
    on conflict do nothing;
    return null;
end $$;

create or replace trigger queue_unused_object_on_delete after delete on pigeonhole.media
    for each row when (old.object_key is not null)
    execute function pigeonhole.queue_unused_object();

create or replace trigger queue_unused_object_on_update
    after update of object_key on pigeonhole.media
    for each row
    when (old.object_key is not null and old.object_key is distinct from new.object_key)
    execute function pigeonhole.queue_unused_object();
