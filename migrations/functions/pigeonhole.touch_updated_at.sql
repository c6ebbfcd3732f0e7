-- Sets `updated_at` when a row of `user_phone_numbers` changes.
--
-- The app may have such a trigger of its own, under a name that we do not know. Ours is created
-- only where no trigger runs before the update of a row (1: for each row, 2: before, 16: update).
--
-- Revision: 1
-- Called by: the trigger below.
-- Locks: nothing beyond the row that changes.
-- Returns: the row with the new `updated_at`.
create or replace function pigeonhole.touch_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end $$;

do $$
begin
    if not exists (
        select from pg_trigger
        where tgrelid = 'user_phone_numbers'::regclass and not tgisinternal and tgtype & 19 = 19
    ) then
        create trigger touch_updated_at before update on user_phone_numbers
            for each row execute function pigeonhole.touch_updated_at();
    end if;
end $$;
