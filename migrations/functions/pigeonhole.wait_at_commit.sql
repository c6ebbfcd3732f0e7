-- Makes the commit of this transaction wait as that of a write does: for the disk, and for the
-- synchronous standbys. An answer that rests on a row which another transaction has written needs
-- this. A transaction that writes nothing commits at once, although that row may not have reached
-- any standby yet: if the primary is lost then, so is the row, and the answer was wrong.
--
-- Revision: 1
-- Called by: `pigeonhole.accept_messages`; `store::wait_at_commit`, for answers and for actions
--     outside the database that cannot be undone.
-- Locks: nothing.
-- Returns: nothing. On a standby, and where transactions are read-only, it fails with SQLSTATE
--     25006, so nothing read there becomes an answer.
create or replace function pigeonhole.wait_at_commit() returns void language plpgsql as $$
begin
    if pg_is_in_recovery() or current_setting('transaction_read_only')::boolean then
        raise exception 'this server cannot be written to'
            using errcode = 'read_only_sql_transaction';
    end if;
    -- The smallest write that there is: a record in the log which nobody reads.
    perform pg_logical_emit_message(true, 'pigeonhole', ''::text);
end $$;
