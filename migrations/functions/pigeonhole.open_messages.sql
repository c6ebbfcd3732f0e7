-- Reads stored messages for processing, without the time at which a recovered message was sent.
-- Workers of the previous release call it; `pigeonhole.open_messages_v2` has replaced it.
--
-- PL/pgSQL, because a session keeps the plans of its statements. `= any(array[…])` is an equality
-- that the planner can serve only by the index, and not by a join that reads the whole table.
--
-- Revision: 2
-- Called by: workers of the previous release, for the job `process_message`.
-- Locks: nothing.
-- Returns: the messages that exist, in no order; `starts_in` is the time in seconds until the
--     message's reservation, negative after it, null without one.
create or replace function pigeonhole.open_messages(sids text[]) returns table (
    message_sid text, account_sid text, received_at timestamptz, state text, sealed bytea,
    starts_in float8
) language plpgsql stable as $$
#variable_conflict use_column
begin
    return query select messages.message_sid, account_sid, received_at, state, sealed,
        extract(epoch from reserved_for - clock_timestamp())::float8
    from unnest(sids) as given(sid)
    join pigeonhole.inbound_messages messages on messages.message_sid = any(array[given.sid]);
end $$;
