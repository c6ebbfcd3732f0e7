-- Reads how far rate-limit keys are used up.
--
-- Revision: 2
-- Called by: `queue::rate_limit::RateLimitSnapshot::read`, `pigeonhole.reserve_starts`.
-- Locks: nothing.
-- Returns: each key, its theoretical arrival time (0 for a key without a row), and the time now.
create or replace function queue.read_rate_limits(keys text[])
returns table (key text, tat_ns bigint, now timestamptz) language plpgsql as $$
#variable_conflict use_column
begin
    return query select given.key, coalesce(limits.tat_ns, 0), (select clock_timestamp())
    from unnest(keys) as given(key)
    left join lateral (
        select known.tat_ns from queue.rate_limits known where known.key = given.key
        offset 0 -- see planner_settings.sql
    ) as limits on true;
end $$;
