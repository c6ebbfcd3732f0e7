-- Stores inbound messages and enqueues a job for each new one, in one call: a webhook costs one
-- round trip and one commit, or its share of them. A message that is already stored gets no second
-- job, and one that was erased is not stored again. If nothing is new, nothing is written, and the
-- commit waits for the standbys all the same: the stored message may not have reached them yet.
--
-- A single message, as on an idle system, takes a shorter path.
--
-- Revision: 4
-- Called by: `store::inbound_messages::accept_all`, for the receiver.
-- Locks: the new rows of `inbound_messages`, in the order of their SIDs. Two batches with a message
--     in common wait for each other and never deadlock. The SIDs of a batch must differ.
-- Returns: the SIDs of the new messages.
create or replace function pigeonhole.accept_messages(
    message_sids text[], account_sids text[], sender_indexes text[], sealed bytea[],
    job_kind text, job_max_attempts smallint, job_args text[], job_traces text[]
) returns setof text language plpgsql as $$
#variable_conflict use_column
declare
    new_sids text[];
    erased_sids text[];
begin
    if cardinality(message_sids) = 1 then
        insert into pigeonhole.inbound_messages (message_sid, account_sid, sender_index, sealed)
        values (
            message_sids[1], account_sids[1], sender_indexes[1], accept_messages.sealed[1])
        on conflict (message_sid) do nothing;
        if not found then
            perform pigeonhole.wait_at_commit();
            return;
        end if;
        -- As in `pigeonhole.remove_erased_messages`: after the insert, in a statement of its own.
        if exists (
            select from pigeonhole.erased_messages
            where message_sid = any(array[accept_messages.message_sids[1]])
        ) then
            delete from pigeonhole.inbound_messages
            where message_sid = accept_messages.message_sids[1];
            perform pigeonhole.wait_at_commit();
        else
            insert into queue.jobs (kind, max_attempts, lane, position, args, trace)
            values (job_kind, job_max_attempts, sender_indexes[1],
                queue.new_position(sender_indexes[1], 0::smallint), job_args[1]::json,
                job_traces[1]);
            return next message_sids[1];
        end if;
        return;
    end if;
    with given as (
        select * from unnest(message_sids, account_sids, sender_indexes, accept_messages.sealed)
            as given(message_sid, account_sid, sender_index, sealed)
    ),
    new as (
        insert into pigeonhole.inbound_messages (message_sid, account_sid, sender_index, sealed)
        select message_sid, account_sid, sender_index, sealed from given order by message_sid
        on conflict (message_sid) do nothing
        returning message_sid
    )
    select array(select message_sid from new) into new_sids;
    erased_sids := pigeonhole.remove_erased_messages(new_sids);
    return query with jobs as (
        insert into queue.jobs (kind, max_attempts, lane, position, args, trace)
        select job_kind, job_max_attempts, sender_index,
            queue.new_position(sender_index, 0::smallint)
                + (row_number() over (partition by sender_index order by message_sid) - 1)
                * interval '1 second',
            args::json, trace
        from unnest(message_sids, sender_indexes, job_args, job_traces)
            as given(message_sid, sender_index, args, trace)
        where message_sid = any(new_sids) and message_sid <> all(erased_sids)
    )
    select sid from unnest(new_sids) as new(sid) where sid <> all(erased_sids);
    if not found then
        perform pigeonhole.wait_at_commit();
    end if;
end $$;
