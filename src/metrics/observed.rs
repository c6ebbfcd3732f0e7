//! The metrics that the observer reads from the database for all processes: see
//! [`crate::observer`].

use std::{collections::BTreeMap, time::Duration};

use ::metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;
use queue::admin::{JobState, KindStats, QueueStats};
use store::{
    diagnostics::{Durability, LossCause},
    inbound_messages::MessageState,
    observe::{PostgresFigures, SendCounts},
};

use crate::worker::KINDS;

const OBSERVER: &str = "pigeonhole_observer";
const AGE: &str = "pigeonhole_observed_age_seconds";
const JOBS: &str = "pigeonhole_queue_jobs";
const OLDEST_WAITING: &str = "pigeonhole_queue_oldest_waiting_seconds";
const PAUSED: &str = "pigeonhole_queue_paused";
const WORKERS: &str = "pigeonhole_queue_workers";
const MESSAGES: &str = "pigeonhole_messages";
const SENDS: &str = "pigeonhole_sends_last_day";
const SPEND: &str = "pigeonhole_sms_spend_last_day_dollars";
const BUDGET_LEFT: &str = "pigeonhole_verification_budget_left";
const BUDGET: &str = "pigeonhole_verification_budget";
const LOOK_AGE: &str = "pigeonhole_recovery_look_age_seconds";
const OLDEST_SNAPSHOT: &str = "pigeonhole_postgres_oldest_snapshot_seconds";
const CONNECTIONS: &str = "pigeonhole_postgres_connections";
const CONNECTIONS_MAX: &str = "pigeonhole_postgres_connections_max";
const LOCKS_WAITING: &str = "pigeonhole_postgres_locks_waiting";
const WAL: &str = "pigeonhole_postgres_wal_bytes_total";
const DATABASE_BYTES: &str = "pigeonhole_postgres_database_bytes";
const TABLE_BYTES: &str = "pigeonhole_postgres_table_bytes";
const DEAD_ROWS: &str = "pigeonhole_postgres_dead_rows";
const LIVE_ROWS: &str = "pigeonhole_postgres_live_rows";
const LOSS_POSSIBLE: &str = "pigeonhole_postgres_loss_possible";
const STANDBYS: &str = "pigeonhole_postgres_standbys";
const LAG_BYTES: &str = "pigeonhole_postgres_replication_lag_bytes";
const LAG: &str = "pigeonhole_postgres_replication_lag_seconds";
const COMMIT_WAIT: &str = "pigeonhole_postgres_commit_wait_seconds";

pub(super) fn describe() {
    let count = |name: &'static str, help: &'static str| describe_gauge!(name, Unit::Count, help);
    let bytes = |name: &'static str, help: &'static str| describe_gauge!(name, Unit::Bytes, help);
    let seconds =
        |name: &'static str, help: &'static str| describe_gauge!(name, Unit::Seconds, help);
    count(
        OBSERVER,
        "1 in the worker that reads metrics from the database for all processes, 0 in the others",
    );
    seconds(
        AGE,
        "How long ago the observer began to read the metrics of the database that it shows",
    );
    count(
        JOBS,
        "Jobs by kind and state: available, running, scheduled, dead. An estimate above 5,000; kinds that this \
         version does not know count as other",
    );
    seconds(
        OLDEST_WAITING,
        "How long the oldest available job of a kind has waited; 0 if there is none",
    );
    count(
        PAUSED,
        "1 if the kind is paused, so no worker claims its jobs, else 0",
    );
    count(
        WORKERS,
        "Workers that sent a heartbeat within the last 35 s",
    );
    count(
        MESSAGES,
        "The newest messages of the last day, at most 10,000, by state",
    );
    count(
        SENDS,
        "SMS requested in the last day, at most 50,000, by purpose and state",
    );
    count(
        SPEND,
        "Estimated cost of the SMS that Twilio accepted in the last day, in dollars, each at SMS_PRICE_ESTIMATE",
    );
    count(
        BUDGET_LEFT,
        "Verification SMS that may still be sent now, of VERIFICATION_DAILY_BUDGET in 24 hours",
    );
    count(BUDGET, "VERIFICATION_DAILY_BUDGET of this worker");
    seconds(
        LOOK_AGE,
        "How long ago Twilio's list was searched for messages that no webhook brought: the oldest of all numbers; 0 \
         without a number, or if RECOVERY is off",
    );
    seconds(
        OLDEST_SNAPSHOT,
        "Age of the oldest transaction that keeps vacuum from removing dead rows; 0 if there is none. Sessions of \
         other users count only with the role pg_read_all_stats",
    );
    count(
        CONNECTIONS,
        "Client connections to the Postgres server, by state: active, idle, idle_in_transaction, other",
    );
    count(
        CONNECTIONS_MAX,
        "Largest number of client connections, without those reserved for superusers",
    );
    count(LOCKS_WAITING, "Sessions that wait for a lock");
    describe_counter!(
        WAL,
        Unit::Bytes,
        "Write-ahead log that the server has written since it was created"
    );
    bytes(DATABASE_BYTES, "Size of the database");
    bytes(
        TABLE_BYTES,
        "Size of a table with its indexes, by table, for the tables that grow",
    );
    count(
        DEAD_ROWS,
        "Dead rows that wait for vacuum, by table: Postgres's estimate",
    );
    count(LIVE_ROWS, "Live rows, by table: Postgres's estimate");
    describe_durability();
}

fn describe_durability() {
    let count = |name: &'static str, help: &'static str| describe_gauge!(name, Unit::Count, help);
    let seconds =
        |name: &'static str, help: &'static str| describe_gauge!(name, Unit::Seconds, help);
    count(
        LOSS_POSSIBLE,
        "1 if an acknowledged message can be lost for this cause, else 0: fsync, full_page_writes, synchronous_commit, \
         asynchronous_standby",
    );
    count(
        STANDBYS,
        "Attached standbys, by kind: synchronous, asynchronous. Without the role pg_monitor all count as asynchronous",
    );
    describe_gauge!(
        LAG_BYTES,
        Unit::Bytes,
        "Write-ahead log that the slowest standby has not stored; 0 without a standby"
    );
    seconds(
        LAG,
        "How long the slowest standby took lately to store what was written; 0 while nothing is written",
    );
    seconds(
        COMMIT_WAIT,
        "How long the oldest commit has waited for a synchronous standby; 0 if none waits",
    );
}

/// What the observer read. `None`: it could not be read.
#[derive(Debug, Default)]
pub(crate) struct ObservedCounts {
    /// The jobs, and the number of workers.
    pub(crate) queue: Option<(QueueStats, usize)>,
    pub(crate) messages: Option<Vec<(MessageState, i64)>>,
    /// The SMS, and the price of one.
    pub(crate) sends: Option<(SendCounts, f64)>,
    /// What is left of the budget, and the whole budget.
    pub(crate) budget: Option<(u32, u32)>,
    /// How long ago recovery looked.
    pub(crate) look_age: Option<Duration>,
    pub(crate) postgres: Option<PostgresFigures>,
}

/// A page with these metrics and no others. Each page starts empty, so that it does not show old
/// values of what cannot be read now.
pub(crate) fn page(observes: bool, counts: &ObservedCounts) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    ::metrics::with_local_recorder(&recorder, || {
        describe();
        gauge!(OBSERVER).set(if observes { 1.0 } else { 0.0 });
        counts.set();
    });
    recorder.handle().render()
}

/// The metric that says how old the others are.
pub(crate) fn age(age: Duration) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    ::metrics::with_local_recorder(&recorder, || {
        describe();
        gauge!(AGE).set(age.as_secs_f64());
    });
    recorder.handle().render()
}

impl ObservedCounts {
    fn set(&self) {
        if let Some((stats, workers)) = &self.queue {
            gauge!(WORKERS).set(number(*workers));
            queue(stats);
        }
        for (state, count) in self.messages.iter().flatten() {
            gauge!(MESSAGES, "state" => state.as_str()).set(number(*count));
        }
        if let Some((sends, price)) = &self.sends {
            for (purpose, state, count) in &sends.counts {
                gauge!(SENDS, "purpose" => purpose.as_str(), "state" => state.as_str())
                    .set(number(*count));
            }
            gauge!(SPEND).set(number(sends.paid) * price);
        }
        if let Some((left, budget)) = self.budget {
            gauge!(BUDGET_LEFT).set(left);
            gauge!(BUDGET).set(budget);
        }
        if let Some(age) = self.look_age {
            gauge!(LOOK_AGE).set(age.as_secs_f64());
        }
        if let Some(server) = &self.postgres {
            postgres(server);
        }
    }
}

fn queue(stats: &QueueStats) {
    // Every kind that this version knows, also without jobs, and the jobs of kinds that it does not
    // know.
    let mut kinds: BTreeMap<&str, Vec<&KindStats>> =
        KINDS.iter().map(|kind| (*kind, Vec::new())).collect();
    for kind in &stats.kinds {
        let known = KINDS.iter().find(|known| **known == kind.kind);
        kinds
            .entry(known.unwrap_or(&"other"))
            .or_default()
            .push(kind);
    }
    for (kind, rows) in kinds {
        let kind = kind.to_owned();
        let jobs = |state: JobState, count: fn(&KindStats) -> i64| {
            let count = rows.iter().map(|row| count(row)).sum::<i64>();
            gauge!(JOBS, "kind" => kind.clone(), "state" => state.as_str()).set(number(count));
        };
        jobs(JobState::Available, |row| row.available.count);
        jobs(JobState::Running, |row| row.running.count);
        jobs(JobState::Scheduled, |row| row.scheduled.count);
        jobs(JobState::Dead, |row| row.dead.count);
        let oldest = rows
            .iter()
            .filter_map(|row| row.oldest_available_since)
            .min();
        let waiting = oldest.map_or(0, |oldest| (stats.at - oldest).num_milliseconds().max(0));
        gauge!(OLDEST_WAITING, "kind" => kind.clone()).set(number(waiting) / 1000.0);
        let paused = rows.iter().any(|row| row.paused_at.is_some());
        gauge!(PAUSED, "kind" => kind.clone()).set(if paused { 1.0 } else { 0.0 });
    }
}

fn postgres(server: &PostgresFigures) {
    gauge!(OLDEST_SNAPSHOT).set(server.oldest_snapshot);
    for (state, count) in [
        ("active", server.active),
        ("idle", server.idle),
        ("idle_in_transaction", server.idle_in_transaction),
        ("other", server.other),
    ] {
        gauge!(CONNECTIONS, "state" => state).set(number(count));
    }
    gauge!(CONNECTIONS_MAX).set(number(server.connections_max));
    gauge!(LOCKS_WAITING).set(number(server.locks_waiting));
    counter!(WAL).absolute(server.wal_bytes.unsigned_abs());
    gauge!(DATABASE_BYTES).set(number(server.database_bytes));
    for table in &server.tables {
        gauge!(TABLE_BYTES, "table" => table.name).set(number(table.bytes));
        gauge!(DEAD_ROWS, "table" => table.name).set(number(table.dead_rows));
        gauge!(LIVE_ROWS, "table" => table.name).set(number(table.live_rows));
    }
    durability(&server.durability);
}

fn durability(found: &Durability) {
    for cause in LossCause::ALL {
        let possible = found.may_lose(cause);
        gauge!(LOSS_POSSIBLE, "cause" => cause.label()).set(if possible { 1.0 } else { 0.0 });
    }
    gauge!(STANDBYS, "kind" => "synchronous").set(number(found.synchronous));
    gauge!(STANDBYS, "kind" => "asynchronous").set(number(found.asynchronous));
    gauge!(LAG_BYTES).set(number(found.lag_bytes));
    gauge!(LAG).set(found.lag);
    gauge!(COMMIT_WAIT).set(found.commit_wait);
}

/// A count as Prometheus needs it.
#[expect(
    clippy::cast_precision_loss,
    reason = "no count here comes near 2^53, and a metric need not be that exact"
)]
fn number(count: impl TryInto<i64>) -> f64 {
    count.try_into().unwrap_or(i64::MAX) as f64
}
