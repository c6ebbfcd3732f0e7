-- Writes new arrival times of rate-limit keys: of each key that still has the time `before`.
--
-- Revision: 1
-- Called by: `pigeonhole.reserve_starts`.
-- Locks: the rows of the keys, new keys first, each in the order of the list. The list must be
--     sorted, so that two calls never wait for each other in a circle.
-- Returns: the keys that it has written. Another transaction has changed the others meanwhile.
create or replace function queue.update_rate_limits(keys text[], before bigint[], after bigint[])
returns text[] language plpgsql as $$
#variable_conflict use_column
declare
    updated text[];
begin
    with given as materialized (
        select * from unnest(keys, update_rate_limits.before, update_rate_limits.after)
            as given(key, before, after)
    ),
    new as (
        insert into queue.rate_limits as limits (key, tat_ns)
        select key, after from given where before = 0
        on conflict (key) do update set tat_ns = excluded.tat_ns where limits.tat_ns = 0
        returning limits.key
    ),
    changed as (
        update queue.rate_limits limits set tat_ns = given.after
        from given
        where limits.key = any(array[given.key]) and given.before <> 0
            and limits.tat_ns = given.before
        returning limits.key
    )
    select array(select key from new union all select key from changed) into updated;
    return updated;
end $$;
