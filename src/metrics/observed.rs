//! What one process at a time, the observer, reads from the database for all: see [`crate::observer`].

use ::metrics::{Unit, describe_counter, describe_gauge};

const OBSERVER: &str = "pigeonhole_observer";
const JOBS: &str = "pigeonhole_queue_jobs";
const OLDEST_WAITING: &str = "pigeonhole_queue_oldest_waiting_seconds";
const PAUSED: &str = "pigeonhole_queue_paused";
const WORKERS: &str = "pigeonhole_queue_workers";
const MESSAGES: &str = "pigeonhole_messages";
const SENDS: &str = "pigeonhole_sends_last_day";
const SPEND: &str = "pigeonhole_sms_spend_last_day_dollars";
const BUDGET_LEFT: &str = "pigeonhole_verification_budget_left";
const BUDGET: &str = "pigeonhole_verification_budget";
const OLDEST_SNAPSHOT: &str = "pigeonhole_postgres_oldest_snapshot_seconds";
const CONNECTIONS: &str = "pigeonhole_postgres_connections";
const CONNECTIONS_MAX: &str = "pigeonhole_postgres_connections_max";
const LOCKS_WAITING: &str = "pigeonhole_postgres_locks_waiting";
const WAL: &str = "pigeonhole_postgres_wal_bytes_total";
const DATABASE_BYTES: &str = "pigeonhole_postgres_database_bytes";
const TABLE_BYTES: &str = "pigeonhole_postgres_table_bytes";
const DEAD_ROWS: &str = "pigeonhole_postgres_dead_rows";
const LIVE_ROWS: &str = "pigeonhole_postgres_live_rows";

pub(super) fn describe() {
    let count = |name: &'static str, help: &'static str| describe_gauge!(name, Unit::Count, help);
    let bytes = |name: &'static str, help: &'static str| describe_gauge!(name, Unit::Bytes, help);
    let seconds =
        |name: &'static str, help: &'static str| describe_gauge!(name, Unit::Seconds, help);
    count(
        OBSERVER,
        "1 in the worker that reads from the database for all, 0 in the others",
    );
    count(
        JOBS,
        "Jobs by kind and state: available, running, scheduled, dead. Beyond 5,000 an estimate; kinds that this \
         version does not know are one, other",
    );
    seconds(
        OLDEST_WAITING,
        "For how long the oldest available job of a kind has been waiting; 0 if there is none",
    );
    count(PAUSED, "1 if nobody may claim jobs of this kind, else 0");
    count(
        WORKERS,
        "Workers that have given a sign of life within 35 s",
    );
    count(
        MESSAGES,
        "The newest messages of the last day, 10,000 at most, by state",
    );
    count(
        SENDS,
        "SMS that were wished for in the last day, 50,000 at most, by purpose and state",
    );
    count(
        SPEND,
        "What the SMS of the last day that Twilio took have cost, in dollars: an estimate, each at SMS_PRICE_ESTIMATE",
    );
    count(
        BUDGET_LEFT,
        "How many verification SMS may still be sent within 24 hours, of VERIFICATION_DAILY_BUDGET",
    );
    count(BUDGET, "VERIFICATION_DAILY_BUDGET, as this worker has it");
    seconds(
        OLDEST_SNAPSHOT,
        "Age of the oldest transaction that keeps Postgres from clearing away dead rows; 0 if there is none. Of other \
         users' sessions only with the role pg_read_all_stats",
    );
    count(
        CONNECTIONS,
        "Client connections to the Postgres server, by state: active, idle, idle_in_transaction, other",
    );
    count(
        CONNECTIONS_MAX,
        "How many there may be, less those kept for superusers",
    );
    count(LOCKS_WAITING, "Sessions that wait for a lock");
    describe_counter!(
        WAL,
        Unit::Bytes,
        "Write-ahead log that the server has written since it was set up"
    );
    bytes(DATABASE_BYTES, "Size of the database");
    bytes(
        TABLE_BYTES,
        "Size of a table with its indexes, by table, of those that grow",
    );
    count(
        DEAD_ROWS,
        "Rows that await vacuum, by table: Postgres's estimate",
    );
    count(LIVE_ROWS, "Rows, by table: Postgres's estimate");
}
