-- Writes new arrival times of rate-limit keys: of each key that still has the time `before`.
--
-- Revision: 1
-- Called by: `pigeonhole.reserve_starts`.
-- Locks: the rows of the keys, new and known ones alike, in the order of their keys, so that two
--     calls never wait for each other in a circle.
-- Returns: the keys that it has written. Another transaction has changed the others meanwhile.
create or replace function queue.update_rate_limits(keys text[], before bigint[], after bigint[])
returns text[] language plpgsql as $$
#variable_conflict use_column
declare
    updated text[];
begin
    -- One statement for new and known keys: two would lock them in two orders.
    with written as (
        insert into queue.rate_limits as limits (key, tat_ns)
        select key, after
        from unnest(keys, update_rate_limits.before, update_rate_limits.after)
            as given(key, before, after)
        where before = 0 or exists (
            select from queue.rate_limits as known where known.key = any(array[given.key])
        )
        order by key
        on conflict (key) do update set tat_ns = excluded.tat_ns
        where limits.tat_ns
            = update_rate_limits.before[array_position(keys, excluded.key)]
        returning limits.key
    )
    select array(select key from written) into updated;
    return updated;
end $$;
