-- Reads stored messages for processing: each with the user for whom its sender's number is
-- verified, and how far that user's rate limit is used up.
--
-- It finds the user by the blind index of the sender, so it finds nobody where the number is stored
-- in another form: under a former key, or as the app wrote it.
--
-- PL/pgSQL, because a session keeps the plans of its statements.
--
-- Revision: 1
-- Called by: `store::inbound_messages::load_all`, for the job `process_message`.
-- Locks: nothing.
-- Returns: the messages that exist, in no order; `sent_at` is null unless the message was
--     recovered; `starts_in` is the time in seconds until the message's reservation, negative after
--     it, null without one; `user_id` is the user, if the number was theirs when the message was
--     sent; `tat_ns` is the theoretical arrival time of the user's key, 0 without one.
create or replace function pigeonhole.open_messages_v3(sids text[], rate_key_prefix text)
returns table (
    message_sid text, account_sid text, received_at timestamptz, sent_at timestamptz, state text,
    sealed bytea, starts_in float8, user_id uuid, tat_ns bigint, now timestamptz
) language plpgsql stable as $$
#variable_conflict use_column
declare
    read_at timestamptz := clock_timestamp();
begin
    return query select messages.message_sid, account_sid, received_at, sent_at, state, sealed,
        extract(epoch from reserved_for - read_at)::float8,
        number.user_id, coalesce(limits.tat_ns, 0), read_at
    from unnest(sids) as given(sid)
    cross join lateral (
        select * from pigeonhole.inbound_messages known where known.message_sid = given.sid
        offset 0 -- see planner_settings.sql
    ) as messages
    left join lateral (
        select numbers.user_id from user_phone_numbers numbers
        where numbers.phone_number = messages.sender_index::varchar
            and numbers.verified
            -- The same rule as in `store::inbound_messages::sent_by`.
            and coalesce(numbers.created_at::timestamptz, '-infinity') <= coalesce(
                messages.sent_at + interval '999999 microseconds', messages.received_at)
        order by numbers.created_at desc nulls last, numbers.id
        limit 1
    ) as number on true
    left join lateral (
        select known.tat_ns from queue.rate_limits known
        where known.key = rate_key_prefix || number.user_id::text
        offset 0
    ) as limits on true;
end $$;
