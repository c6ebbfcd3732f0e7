-- The planner settings of the functions. They are applied after every other file, and again
-- whenever one of them has changed, because `create or replace function` drops settings.
--
-- A session keeps the plan of each statement in these functions. If a plan was made while a table
-- was nearly empty, it may read the whole table, and the session would keep it when the table is
-- full. So these functions may use an index only.
--
-- Revision: 2
-- Called by: `pigeonhole migrate`.
-- Locks: the functions.
-- Returns: nothing.
do $$
declare
    function_name text;
    setting text;
begin
    foreach function_name in array array[
        'pigeonhole.open_messages', 'pigeonhole.open_messages_v2', 'pigeonhole.users_by_number',
        'pigeonhole.reserve_starts', 'pigeonhole.finish_messages',
        'pigeonhole.remove_erased_messages', 'queue.read_rate_limits', 'queue.update_rate_limits'
    ] loop
        foreach setting in array array[
            'enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'jit'
        ] loop
            execute format('alter function %s set %s = off', function_name::regproc, setting);
        end loop;
    end loop;
    -- It needs the order of the index on lanes.
    foreach setting in array array['enable_seqscan', 'enable_sort', 'jit'] loop
        execute format('alter function queue.new_position set %s = off', setting);
    end loop;
end $$;
