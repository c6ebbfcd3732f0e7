-- Remembers the SIDs of messages whose rows are deleted, with their user or by hand, so that
-- nothing brings them back.
--
-- Revision: 1
-- Called by: the trigger below.
-- Locks: the new rows of `erased_messages`, in the order of their SIDs.
-- Returns: null, as an `after` trigger may.
create or replace function pigeonhole.remember_erased_messages() returns trigger
language plpgsql as $$
begin
    insert into pigeonhole.erased_messages (message_sid)
    select message_sid from deleted_rows order by message_sid
    on conflict do nothing;
    return null;
end $$;

create or replace trigger remember_erased_messages after delete on pigeonhole.inbound_messages
    referencing old table as deleted_rows
    for each statement execute function pigeonhole.remember_erased_messages();
