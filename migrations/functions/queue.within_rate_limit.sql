-- Returns the new theoretical arrival time of a rate-limit key, unless it is too late.
--
-- Revision: 1
-- Called by: `pigeonhole.finish_messages`.
-- Locks: nothing.
-- Returns: the time. If it is later than the latest one, the call fails with SQLSTATE PH001, so
--     that nothing of the statement is written.
create or replace function queue.within_rate_limit(arrival_ns bigint, latest_ns bigint)
returns bigint language plpgsql immutable as $$
begin
    if arrival_ns > latest_ns then
        raise exception 'the rate limit of a message''s user is used up' using errcode = 'PH001';
    end if;
    return arrival_ns;
end $$;
