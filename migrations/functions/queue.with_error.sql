-- Adds an error to the errors of a job. Of more than ten it drops the oldest.
--
-- Revision: 1
-- Called by: the statements of the `queue` crate that write a failed attempt.
-- Locks: nothing.
-- Returns: the errors with the new one at the end.
create or replace function queue.with_error(errors jsonb, attempt smallint, error text)
returns jsonb language sql stable as $$
    select case when jsonb_array_length(errors) >= 10 then errors - 0
            else coalesce(errors, '[]') end
        || jsonb_build_array(jsonb_build_object('attempt', attempt, 'at', now(), 'error', error))
$$;
