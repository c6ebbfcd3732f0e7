-- What became of a message, and how it ends: many at once, in one statement.

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

-- Ends messages: of each, its items, its state and its job's completion, or nothing at all if another claim has come
-- after this one. A message that names a number is ended only as its user's: if the number is not verified for them any
-- more, it ends as `ignored_unlinked`, without items. Answers, for each that still had its claim, its place in the list
-- and the state that it has now; null if it is gone.
--
-- Users are locked before their numbers, in an order, as everywhere.
create function pigeonhole.finish(
    job_ids bigint[], claims integer[], sids text[], states text[], user_ids uuid[], number_forms text[],
    extractors text[], reasons text[],
    item_messages integer[], item_ids uuid[], item_types text[], item_fields text[], item_values text[],
    item_sources text[], item_metadata jsonb[]
) returns table (n integer, state text) language plpgsql as $$
#variable_conflict use_column
begin
    perform from users where id = any(user_ids) order by id for key share;
    return query with given as materialized (
        select * from unnest(job_ids, claims, sids, states, user_ids, number_forms, extractors, reasons) with ordinality
            as given(job_id, claim, sid, state, user_id, forms, extractor, reason, n)
    ),
    owned as materialized (
        select given.n from given join user_phone_numbers numbers
            on numbers.user_id = given.user_id and numbers.verified
                and numbers.phone_number = any(string_to_array(given.forms, ' '))
        order by numbers.id for share of numbers
    ),
    completed as materialized (
        delete from queue.jobs using given where id = given.job_id and jobs.claim = given.claim returning given.n
    ),
    decided as materialized (
        select given.*, case when forms is null or given.n in (select owned.n from owned) then given.state
            else 'ignored_unlinked' end as final
        from given join completed on completed.n = given.n
    ),
    ended as (
        update pigeonhole.inbound_messages messages set
            state = final, finished_at = clock_timestamp(),
            user_id = case when final = 'ignored_unlinked' then messages.user_id else decided.user_id end,
            claimed_at = coalesce(claimed_at, clock_timestamp()),
            extracted_by = case when final = 'processed' then extractor end,
            items = case when final = 'processed' then
                (select count(*) from unnest(item_messages) as item(n) where item.n = decided.n) end,
            reason = decided.reason
        from decided where message_sid = decided.sid and messages.state = 'received'
        returning decided.n, final, decided.user_id
    ),
    items as (
        insert into enrichment_items
            (id, user_id, item_type, action, field_name, value, accepted, applied, status, source, source_metadata)
        select item.id, ended.user_id, item.item_type, 'add', item.field_name, item.value, false, false, 'pending',
            item.source, item.metadata
        from unnest(item_messages, item_ids, item_types, item_fields, item_values, item_sources, item_metadata)
            as item(n, id, item_type, field_name, value, source, metadata)
        join ended on ended.n = item.n and ended.final = 'processed'
        on conflict (id) do nothing
    )
    select completed.n::integer, ended.final from completed left join ended on ended.n = completed.n;
end $$;
