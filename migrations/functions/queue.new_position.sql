-- Returns the position of a new job of this lane and priority among the ready jobs.
--
-- Each job of a lane stands one second behind the previous one. So a lane with a backlog yields to
-- every lane without one, and lanes with backlogs take turns. Each priority step below 0 moves a
-- job ten minutes forward, each step above 0 ten minutes back.
--
-- PL/pgSQL, because a session keeps the plans of its statements. Postgres plans an SQL function
-- again in every statement that calls it.
--
-- Revision: 1
-- Called by: `queue::enqueue`, `pigeonhole.accept_messages`.
-- Locks: nothing.
-- Returns: the position.
create or replace function queue.new_position(lane text, priority smallint) returns timestamptz
language plpgsql stable as $$
declare
    arrival timestamptz := now() + priority * interval '10 minutes';
begin
    if lane is null then
        return arrival;
    end if;
    return greatest(arrival, (
        select jobs.position + interval '1 second' from queue.jobs
        where jobs.lane = new_position.lane and jobs.ready
        order by jobs.position desc limit 1
    ));
end $$;
