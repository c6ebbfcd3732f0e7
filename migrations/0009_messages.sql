-- What became of a message, and how messages begin and end: many at once, in one statement each.
--
-- The functions are PL/pgSQL, whose plans a session keeps, and may plan by index alone: a plan that was made while a
-- table was nearly empty would else read all of it when it is full. `= any(array[…])` is for the same end: it is an
-- equality that the planner can serve by an index, and by no join that begins at the other side.

alter table pigeonhole.inbound_messages
    add column claimed_at timestamptz,
    add column slot_at timestamptz,
    add column extracted_by text,
    add column items integer,
    add column reply uuid,
    add column reason text,
    drop constraint inbound_messages_state_check,
    add constraint inbound_messages_state_check check (state in (
        'received', 'processed', 'failed', 'rate_limited', 'ignored_unlinked', 'ignored_disabled',
        'keyword_stop', 'keyword_start', 'keyword_help'));

comment on column pigeonhole.inbound_messages.claimed_at is 'When a worker first opened it.';
comment on column pigeonhole.inbound_messages.slot_at is
    'Its place within its user''s rate limit: it is not processed before. Taken once, so no retry is charged again.';
comment on column pigeonhole.inbound_messages.extracted_by is 'What found the items: rules, or the name of a model.';
comment on column pigeonhole.inbound_messages.items is 'How many items it made.';
comment on column pigeonhole.inbound_messages.reply is 'The send that answers it, if one does.';
comment on column pigeonhole.inbound_messages.reason is 'Why it failed: a word from a closed set.';

-- The messages that are there, with how many seconds it is until their slots.
create function pigeonhole.open(sids text[]) returns table (
    message_sid text, account_sid text, received_at timestamptz, state text, sealed bytea, slot_in float8
) language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
begin
    return query select messages.message_sid, account_sid, received_at, state, sealed,
        extract(epoch from slot_at - clock_timestamp())::float8
    from unnest(sids) as given(sid)
    join pigeonhole.inbound_messages messages on messages.message_sid = any(array[given.sid]);
end $$;

-- For whom these are verified, which are in any of the forms that a number may have, and since when. The newest first.
create function pigeonhole.owners(number_forms text[]) returns table (phone_number text, user_id uuid, since timestamptz)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
begin
    return query select numbers.phone_number::text, numbers.user_id, numbers.created_at::timestamptz
    from unnest(number_forms) as given(form)
    join user_phone_numbers numbers on numbers.phone_number = any(array[given.form]::varchar[]) and numbers.verified
    order by numbers.created_at desc nulls last, numbers.id;
end $$;

-- How far these keys have used up their limits (0: not at all), and the time.
create function queue.look(keys text[]) returns table (key text, tat_ns bigint, now timestamptz) language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
begin
    return query select given.key, coalesce(limits.tat_ns, 0), (select clock_timestamp())
    from unnest(keys) as given(key)
    left join queue.rate_limits limits on limits.key = any(array[given.key]);
end $$;

-- Writes these keys' numbers as they are to be, each if it is as it was before. Answers those it has written.
create function queue.take(keys text[], before bigint[], after bigint[]) returns text[] language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
declare
    taken text[];
begin
    with given as materialized (
        select * from unnest(keys, take.before, take.after) as given(key, before, after)
    ),
    new as (
        insert into queue.rate_limits as limits (key, tat_ns)
        select key, after from given where before = 0
        on conflict (key) do update set tat_ns = excluded.tat_ns where limits.tat_ns = 0
        returning limits.key
    ),
    changed as (
        update queue.rate_limits limits set tat_ns = given.after
        from given where limits.key = any(array[given.key]) and given.before <> 0 and limits.tat_ns = given.before
        returning limits.key
    )
    select array(select key from new union all select key from changed) into taken;
    return taken;
end $$;

-- Gives messages their slots, each if its key could be taken. Answers the keys that somebody has changed meanwhile, as
-- they are now: their messages have no slots yet. A message that has had one before, or has ended, is an error, with
-- which all is undone: another claim came in between, and nothing is charged twice. Messages are locked in the order of
-- the list, which is to be that of their SIDs.
--
-- The commit does not wait for the disk. If a crash undoes it, it undoes all of it: nobody was charged, and none of the
-- messages has ended, as their end would have come later in the log. They are opened anew.
create function pigeonhole.keep_slots(
    sids text[], slots timestamptz[], limited_by text[], keys text[], before bigint[], after bigint[]
) returns table (key text, tat_ns bigint, now timestamptz) language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
declare
    taken text[] := queue.take(keys, keep_slots.before, keep_slots.after);
    all_taken boolean := cardinality(taken) = cardinality(keys);
    expected bigint := case when all_taken then cardinality(sids) else
        (select count(*) from unnest(limited_by) as given(key) where key = any(taken)) end;
    kept bigint;
begin
    perform set_config('synchronous_commit', 'off', true);
    update pigeonhole.inbound_messages messages
    set slot_at = given.slot, claimed_at = coalesce(claimed_at, clock_timestamp())
    from unnest(sids, slots, limited_by) as given(sid, slot, key)
    where message_sid = any(array[given.sid]) and state in ('received', 'failed') and slot_at is null
        and (all_taken or given.key = any(taken));
    get diagnostics kept = row_count;
    if kept <> expected then
        raise exception '% of % messages have their slot or have ended', expected - kept, expected;
    end if;
    if not all_taken then
        return query select look.key, look.tat_ns, look.now
            from queue.look(array(select unnest(keys) except select unnest(taken))) as look;
    end if;
end $$;

-- Ends messages: of each, its items, its state and its job's completion, or nothing at all if another claim has come
-- after this one. A message that names a user and their number is ended only as theirs: if the number is not verified
-- for them any more, it ends as `ignored_unlinked`, without items.
--
-- A message that has failed may end otherwise, if its job was requeued.
--
-- Answers the places in the list, from 1, of those that had their claim, with no state; of those that have ended now,
-- with their state; and with the state `busy` of those whose user or number somebody is changing at this moment.
-- Nothing was done to these: it waits for nobody who may take long, as all the others would wait with it. Rows are locked
-- in the order of the list, which is to be that of the SIDs and then of the jobs, so that two calls that have a message
-- in common never wait for each other in a circle.
create function pigeonhole.finish(
    job_ids bigint[], claims integer[], sids text[], states text[], user_ids uuid[], number_forms text[],
    extractors text[], reasons text[], items jsonb[]
) returns table (n bigint, state text) language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
begin
    return query with given as materialized (
        select * from unnest(job_ids, claims, sids, states, user_ids, number_forms, extractors, reasons, finish.items)
            with ordinality as given(job_id, claim, sid, state, user_id, forms, extractor, reason, items, n)
    ),
    judged as materialized (
        select given.*, case
            when given.user_id is null or own.is_theirs then given.state
            when exists (
                select from user_phone_numbers numbers
                where numbers.user_id = given.user_id and numbers.verified
                    and numbers.phone_number = any(string_to_array(given.forms, ' ')::varchar[])
            ) then 'busy'
            else 'ignored_unlinked' end as final
        from given left join lateral (
            -- The user before their number, as everywhere; and before what refers to them, which would wait for them.
            select true as is_theirs
            from (select id from users where id = given.user_id limit 1 for key share skip locked) as held
            cross join lateral (
                select from user_phone_numbers numbers
                where numbers.user_id = held.id and numbers.verified
                    and numbers.phone_number = any(string_to_array(given.forms, ' ')::varchar[])
                limit 1 for share skip locked
            ) as number
        ) as own on true
    ),
    completed as materialized (
        delete from queue.jobs using judged
        where jobs.id = any(array[judged.job_id]) and jobs.claim = judged.claim and judged.final <> 'busy'
        returning judged.*
    ),
    ended as materialized (
        update pigeonhole.inbound_messages messages set
            state = final, finished_at = clock_timestamp(),
            user_id = case when final = 'ignored_unlinked' then messages.user_id else completed.user_id end,
            claimed_at = coalesce(claimed_at, clock_timestamp()),
            extracted_by = case when final = 'processed' then extractor end,
            items = case when final = 'processed' then coalesce(jsonb_array_length(completed.items), 0) end,
            reason = completed.reason
        from completed where message_sid = any(array[completed.sid]) and messages.state in ('received', 'failed')
        returning completed.n, final, completed.user_id, completed.items
    ),
    written as (
        insert into enrichment_items
            (id, user_id, item_type, action, field_name, value, accepted, applied, status, source, source_metadata)
        select item.id, ended.user_id, item.item_type, 'add', item.field_name, item.value, false, false, 'pending',
            item.source, item.source_metadata
        from ended cross join lateral jsonb_to_recordset(ended.items)
            as item(id uuid, item_type text, field_name text, value text, source text, source_metadata jsonb)
        where final = 'processed'
        on conflict (id) do nothing
    )
    select n, null from completed
    union all select n, final from ended
    union all select n, final from judged where final = 'busy';
end $$;
