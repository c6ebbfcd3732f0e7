-- The planner settings of the functions. They are applied after every other file, and again
-- whenever one of them has changed, because `create or replace function` drops settings.
--
-- A session keeps the plan of each statement in these functions. If a plan was made while a table
-- was nearly empty, it may read the whole table, and the session would keep it when the table is
-- full. So these functions may use an index only.
--
-- That is not enough for a join: it may read the whole index once, and look in what it has read for
-- each row of the other side. So the functions look up each row in a lateral subquery with `offset
-- 0` or `limit 1`, which Postgres does not turn into a join.
--
-- They keep one plan for all arguments, too. Postgres would plan the first five calls of each
-- session anew, and go on doing so where it takes the plan for these arguments to be cheaper.
-- Planning takes longer than a call for a few messages.
--
-- Revision: 4
-- Called by: `pigeonhole migrate`.
-- Locks: the functions.
-- Returns: nothing.
do $$
declare
    function_name text;
    setting text;
begin
    foreach function_name in array array[
        'pigeonhole.open_messages', 'pigeonhole.open_messages_v2', 'pigeonhole.open_messages_v3',
        'pigeonhole.users_by_number', 'pigeonhole.reserve_starts', 'pigeonhole.finish_messages',
        'pigeonhole.remove_erased_messages', 'queue.read_rate_limits', 'queue.update_rate_limits'
    ] loop
        foreach setting in array array[
            'enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'jit'
        ] loop
            execute format('alter function %s set %s = off', function_name::regproc, setting);
        end loop;
        execute format('alter function %s set plan_cache_mode = force_generic_plan',
            function_name::regproc);
    end loop;
    alter function pigeonhole.accept_messages set plan_cache_mode = force_generic_plan;
    alter function pigeonhole.accept_messages set enable_seqscan = off;
    -- It needs the order of the index on lanes.
    foreach setting in array array['enable_seqscan', 'enable_sort', 'jit'] loop
        execute format('alter function queue.new_position set %s = off', setting);
    end loop;
end $$;
