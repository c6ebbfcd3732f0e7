-- Writes the reservations of messages together with the new arrival times of their rate-limit keys.
-- It skips the messages whose key another transaction has changed since it was read.
--
-- If a message has a reservation already or has ended, the call fails and writes nothing: another
-- claim of its job has run meanwhile, and no message may be charged twice.
--
-- The commit does not wait for the disk. If a crash undoes the commit, it undoes all of it: no key
-- was charged, and none of the messages has ended, because their end comes later in the log.
-- Workers open these messages again.
--
-- Revision: 1
-- Called by: `store::inbound_messages::reserve_starts`, for the job `process_message`.
-- Locks: the rows of the keys (`queue.update_rate_limits`), then the messages in the order of the
--     list, which must be the order of their SIDs.
-- Returns: the keys that another transaction has changed, as they are now. Their messages have no
--     reservation yet.
create or replace function pigeonhole.reserve_starts(
    sids text[], starts timestamptz[], rate_keys text[],
    keys text[], before bigint[], after bigint[]
) returns table (key text, tat_ns bigint, now timestamptz) language plpgsql as $$
#variable_conflict use_column
declare
    updated text[] := queue.update_rate_limits(keys, reserve_starts.before, reserve_starts.after);
    all_updated boolean := cardinality(updated) = cardinality(keys);
    expected bigint := case when all_updated then cardinality(sids) else
        (select count(*) from unnest(rate_keys) as given(key) where key = any(updated)) end;
    written bigint;
begin
    perform set_config('synchronous_commit', 'off', true);
    update pigeonhole.inbound_messages messages
    set reserved_for = given.start, opened_at = coalesce(opened_at, clock_timestamp())
    from unnest(sids, starts, rate_keys) as given(sid, start, key)
    where message_sid = any(array[given.sid]) and state in ('received', 'failed')
        and reserved_for is null and (all_updated or given.key = any(updated));
    get diagnostics written = row_count;
    if written <> expected then
        raise exception '% of % messages have a reservation or have ended',
            expected - written, expected;
    end if;
    if not all_updated then
        return query select current.key, current.tat_ns, current.now
            from queue.read_rate_limits(
                array(select unnest(keys) except select unnest(updated))) as current;
    end if;
end $$;
