-- Removes those of these new messages again that were erased earlier: a message that was deleted
-- with its user does not come back, neither by a late webhook nor by recovery.
--
-- It is called after the rows were inserted. The insert waits for a transaction that is deleting
-- the same message, and each statement of a function sees what was committed before it began. So
-- this one sees what the insert has waited for. Before the insert it could miss it.
--
-- Revision: 2
-- Called by: `pigeonhole.accept_messages`, `pigeonhole.recover_messages`.
-- Locks: nothing that its caller has not locked.
-- Returns: the SIDs that it has removed.
create or replace function pigeonhole.remove_erased_messages(sids text[]) returns text[]
language plpgsql as $$
declare
    erased text[];
begin
    select array_agg(messages.message_sid) into erased
    from unnest(sids) as given(sid)
    cross join lateral (
        select known.message_sid from pigeonhole.erased_messages known
        where known.message_sid = given.sid
        offset 0 -- see planner_settings.sql
    ) as messages;
    if erased is not null then
        delete from pigeonhole.inbound_messages where message_sid = any(erased);
    end if;
    return coalesce(erased, '{}');
end $$;
