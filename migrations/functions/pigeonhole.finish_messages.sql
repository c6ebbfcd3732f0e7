-- Ends messages. For each it writes its items and its state and deletes its job, all or nothing: if
-- another claim of the job came after this one, it changes nothing.
--
-- A message that names a user and their number ends for that user only. If the number is not
-- verified for the user any more, the message ends as `ignored_unlinked`, without items. A failed
-- message may end again if its job was requeued.
--
-- A message that names a number and the time at which it was sent, but no user, ends only if the
-- number was no user's at that time. The worker has read so, perhaps on a standby that lags, and
-- this is the only place that can confirm it: the statement that ends the job runs on the primary.
--
-- A message that names a rate-limit key is charged here, by the time of the call: it was processed
-- without a reservation. If its user's limit is used up by now, because other messages of the user
-- ended meanwhile, the call fails and writes nothing.
--
-- Revision: 3
-- Called by: `store::inbound_messages::finish_all`, for the job `process_message`.
-- Locks: for each message its user, then the user's number, both without waiting; then the job;
--     then the message. Rows are locked in the order of the list, which must be the order of the
--     SIDs and then of the jobs, so that two calls with a message in common never wait in a circle.
--     Then the rate-limit keys, in their order.
-- Returns: positions in the list, from 1. Each message whose claim was valid: a row without a
--     state. Each that has ended now: a row with its state. Each whose user or number another
--     transaction is changing now, and each whose number is a user's although the worker found
--     none: a row with the state `busy`. Nothing was changed, and the worker opens the message
--     again. Waiting for the other transaction would hold up all the other messages.
--     SQLSTATE PH001 if a limit is used up.
drop function if exists pigeonhole.finish_messages(
    bigint[], integer[], text[], text[], uuid[], text[], text[], text[], jsonb[]);
drop function if exists pigeonhole.finish_messages(
    bigint[], integer[], text[], text[], uuid[], text[], text[], text[], jsonb[], timestamptz[]);
create or replace function pigeonhole.finish_messages(
    job_ids bigint[], claims integer[], sids text[], states text[], user_ids uuid[],
    number_variants text[], extractors text[], reasons text[], items jsonb[],
    unlinked_at timestamptz[] default null,
    rate_keys text[] default null, rate_period_ns bigint default 0, rate_burst_ns bigint default 0
) returns table (n bigint, state text) language plpgsql as $$
#variable_conflict use_column
declare
    ended_at timestamptz := clock_timestamp();
    now_ns bigint := (extract(epoch from ended_at) * 1000000)::bigint * 1000;
begin
    return query with given as materialized (
        select * from unnest(job_ids, claims, sids, states, user_ids, number_variants, extractors,
                reasons, finish_messages.items, finish_messages.unlinked_at, rate_keys)
            with ordinality
            as given(job_id, claim, sid, state, user_id, variants, extractor, reason, items,
                unlinked_at, rate_key, n)
    ),
    judged as materialized (
        select given.*, case
            when own.is_theirs then given.state
            -- The same rule as in `store::inbound_messages::users_by_number`.
            when given.user_id is null then case when exists (
                select from user_phone_numbers numbers
                where numbers.verified
                    and numbers.phone_number
                        = any(string_to_array(given.variants, ' ')::varchar[])
                    and coalesce(numbers.created_at::timestamptz, '-infinity')
                        <= given.unlinked_at
            ) then 'busy' else given.state end
            when exists (
                select from user_phone_numbers numbers
                where numbers.user_id = given.user_id and numbers.verified
                    and numbers.phone_number
                        = any(string_to_array(given.variants, ' ')::varchar[])
            ) then 'busy'
            else 'ignored_unlinked' end as final
        from given left join lateral (
            -- Everywhere the user is locked before their number, and before rows that refer to the
            -- user: a foreign key locks the user as well.
            select true as is_theirs
            from (
                select id from users where id = given.user_id limit 1 for key share skip locked
            ) as held
            cross join lateral (
                select from user_phone_numbers numbers
                where numbers.user_id = held.id and numbers.verified
                    and numbers.phone_number
                        = any(string_to_array(given.variants, ' ')::varchar[])
                limit 1 for share skip locked
            ) as number
        ) as own on true
    ),
    completed as materialized (
        delete from queue.jobs using judged
        where jobs.id = any(array[judged.job_id]) and jobs.claim = judged.claim
            and judged.final <> 'busy'
        returning judged.*
    ),
    ended as materialized (
        update pigeonhole.inbound_messages messages set
            state = final, finished_at = ended_at,
            user_id = case when final = 'ignored_unlinked' then messages.user_id
                else completed.user_id end,
            opened_at = coalesce(opened_at, ended_at),
            reserved_for = case when final = 'processed' and rate_key is not null
                then ended_at else reserved_for end,
            extracted_by = case when final = 'processed' then extractor end,
            items = case when final = 'processed'
                then coalesce(jsonb_array_length(completed.items), 0) end,
            reason = completed.reason
        from completed
        where message_sid = any(array[completed.sid])
            and messages.state in ('received', 'failed')
        returning completed.n, final, completed.user_id, completed.items, rate_key
    ),
    charged as (
        -- GCRA, as governor decides it: an event conforms if the new arrival time is not later than
        -- one burst from now.
        insert into queue.rate_limits as limits (key, tat_ns)
        select rate_key,
            queue.within_rate_limit(now_ns + count(*) * rate_period_ns, now_ns + rate_burst_ns)
        from ended where final = 'processed' and rate_key is not null
        group by rate_key order by rate_key
        on conflict (key) do update set tat_ns = queue.within_rate_limit(
            greatest(limits.tat_ns, now_ns) + excluded.tat_ns - now_ns, now_ns + rate_burst_ns)
    ),
    written as (
        insert into enrichment_items (id, user_id, item_type, action, field_name, value, accepted,
            applied, status, source, source_metadata)
        select item.id, ended.user_id, item.item_type, 'add', item.field_name, item.value, false,
            false, 'pending', item.source, item.source_metadata
        from ended cross join lateral jsonb_to_recordset(ended.items)
            as item(id uuid, item_type text, field_name text, value text, source text,
                source_metadata jsonb)
        where final = 'processed'
        on conflict (id) do nothing
    )
    select n, null from completed
    union all select n, final from ended
    union all select n, final from judged where final = 'busy';
end $$;
