-- Stores messages that no webhook brought and enqueues a job for each, as
-- `pigeonhole.accept_messages` does for webhooks. A message that is stored already, by its webhook
-- or by an earlier call, does not change and gets no second job. One that was erased is not stored.
--
-- A sender's jobs stand in the order in which the messages were sent. The jobs have a low priority:
-- after a long outage, thousands of old messages do not delay the new ones.
--
-- Revision: 1
-- Called by: `store::inbound_messages::recover_all`, for the job `recover_messages` and for
--     `pigeonhole recover`.
-- Locks: the new rows of `inbound_messages`, in the order of their SIDs, as `accept_messages` does.
--     The SIDs must differ.
-- Returns: the SIDs of the new messages.
create or replace function pigeonhole.recover_messages(
    message_sids text[], account_sids text[], sender_indexes text[], sealed bytea[],
    sources text[], sent_at timestamptz[],
    job_kind text, job_max_attempts smallint, job_priority smallint, job_args text[]
) returns setof text language plpgsql as $$
#variable_conflict use_column
declare
    new_sids text[];
    erased_sids text[];
begin
    with given as (
        select * from unnest(message_sids, account_sids, sender_indexes, recover_messages.sealed,
                sources, recover_messages.sent_at)
            as given(message_sid, account_sid, sender_index, sealed, source, sent_at)
    ),
    new as (
        insert into pigeonhole.inbound_messages
            (message_sid, account_sid, sender_index, sealed, source, sent_at)
        select message_sid, account_sid, sender_index, sealed, source, sent_at
        from given order by message_sid
        on conflict (message_sid) do nothing
        returning message_sid
    )
    select array(select message_sid from new) into new_sids;
    erased_sids := pigeonhole.remove_erased_messages(new_sids);
    insert into queue.jobs (kind, max_attempts, priority, lane, position, args)
    select job_kind, job_max_attempts, job_priority, sender_index,
        queue.new_position(sender_index, job_priority)
            + (row_number() over (partition by sender_index order by sent_at, message_sid) - 1)
            * interval '1 second',
        args::json
    from unnest(message_sids, sender_indexes, recover_messages.sent_at, job_args)
        as given(message_sid, sender_index, sent_at, args)
    where message_sid = any(new_sids) and message_sid <> all(erased_sids)
    order by sent_at, message_sid;
    return query select sid from unnest(new_sids) as new(sid) where sid <> all(erased_sids);
end $$;
