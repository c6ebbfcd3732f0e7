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
-- Revision: 2
-- Called by: `store::inbound_messages::finish_all`, for the job `process_message`.
-- Locks: for each message its user, then the user's number, both without waiting; then the job;
--     then the message. Rows are locked in the order of the list, which must be the order of the
--     SIDs and then of the jobs, so that two calls with a message in common never wait in a circle.
-- Returns: positions in the list, from 1. Each message whose claim was valid: a row without a
--     state. Each that has ended now: a row with its state. Each whose user or number another
--     transaction is changing now, and each whose number is a user's although the worker found
--     none: a row with the state `busy`. Nothing was changed, and the worker opens the message
--     again. Waiting for the other transaction would hold up all the other messages.
drop function if exists pigeonhole.finish_messages(
    bigint[], integer[], text[], text[], uuid[], text[], text[], text[], jsonb[]);
create or replace function pigeonhole.finish_messages(
    job_ids bigint[], claims integer[], sids text[], states text[], user_ids uuid[],
    number_variants text[], extractors text[], reasons text[], items jsonb[],
    unlinked_at timestamptz[] default null
) returns table (n bigint, state text) language plpgsql as $$
#variable_conflict use_column
begin
    return query with given as materialized (
        select * from unnest(job_ids, claims, sids, states, user_ids, number_variants, extractors,
                reasons, finish_messages.items, finish_messages.unlinked_at)
            with ordinality
            as given(job_id, claim, sid, state, user_id, variants, extractor, reason, items,
                unlinked_at, n)
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
            state = final, finished_at = clock_timestamp(),
            user_id = case when final = 'ignored_unlinked' then messages.user_id
                else completed.user_id end,
            opened_at = coalesce(opened_at, clock_timestamp()),
            extracted_by = case when final = 'processed' then extractor end,
            items = case when final = 'processed'
                then coalesce(jsonb_array_length(completed.items), 0) end,
            reason = completed.reason
        from completed
        where message_sid = any(array[completed.sid])
            and messages.state in ('received', 'failed')
        returning completed.n, final, completed.user_id, completed.items
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
