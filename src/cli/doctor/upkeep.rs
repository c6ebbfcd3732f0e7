//! Whether the database can keep up: dead rows, those who keep them, and connections.

use std::time::Duration;

use sqlx::{PgConnection, postgres::PgConnectOptions};
use store::{
    StoreError,
    checkup::{self, Holder, Pooling},
};
use tokio::time::timeout;

use super::finding::Finding;
use crate::cli::output::duration;

/// What a process holds beside its pool, at most: a worker's own connections, and those of a receiver's writers.
const BESIDE_THE_POOL: i64 = 14;

/// Dead rows of a table that are worth a word, if they are also more than the living.
const MANY_DEAD_ROWS: i64 = 100_000;

/// How often it is tried to catch a pooler.
const ROUNDS: usize = 4;

/// How long one more session may take. A pooler in session mode may have no more than a few.
const ROUND_LIMIT: Duration = Duration::from_secs(3);

/// Does each of our connections have a server process for itself?
pub(super) async fn pooler(options: &PgConnectOptions) -> Finding {
    let check = "pooler";
    match is_shared(options).await {
        Ok(Some(false)) => Finding::ok(
            check,
            "each connection keeps its session: there is no pooler, or it is in session mode",
        ),
        Ok(Some(true)) => Finding::fault(
            check,
            "a pooler in transaction mode is between us and Postgres: sessions are mixed up, and with them prepared \
             statements, LISTEN, and the limit for transactions that pause",
            "point DATABASE_URL at Postgres itself, or at a pooler in session mode (PgBouncer: pool_mode = session; \
             hosted databases: mostly another port or host)",
        ),
        Ok(None) => Finding::unchecked(
            check,
            "could not be checked: three connections at once were not to be had within 3 s",
        ),
        Err(error) => Finding::failed(check, error),
    }
}

/// `None` if there were not enough connections to tell.
async fn is_shared(options: &PgConnectOptions) -> Result<Option<bool>, StoreError> {
    let Ok(pooling) = timeout(ROUND_LIMIT, Pooling::begin(options)).await else {
        return Ok(None);
    };
    let (mut pooling, mut shared) = (pooling?, None);
    for _ in 0..ROUNDS {
        match timeout(ROUND_LIMIT, pooling.is_shared()).await {
            Ok(found) => shared = Some(found?),
            Err(_) => break,
        }
        if shared == Some(true) {
            break;
        }
    }
    timeout(ROUND_LIMIT, pooling.end()).await.ok();
    Ok(shared)
}

/// Does Postgres clear dead rows away by itself?
pub(super) async fn autovacuum(conn: &mut PgConnection) -> Vec<Finding> {
    let check = "autovacuum";
    let found = match checkup::autovacuum(conn).await {
        Ok(found) => found,
        Err(error) => return vec![Finding::failed(check, error)],
    };
    let mut findings = Vec::new();
    if !found.on {
        findings.push(Finding::fault(
            check,
            "autovacuum is off: the queue's tables grow without end, and claims become slower and slower",
            "as a superuser: alter system set autovacuum = on; alter system set track_counts = on; select pg_reload_conf();",
        ));
    }
    for table in found.tables {
        if table.off {
            findings.push(Finding::fault(
                check,
                format!("autovacuum is off for {}", table.name),
                format!(
                    "in SQL: alter table {} reset (autovacuum_enabled);",
                    table.name
                ),
            ));
        }
        if table.dead_rows > MANY_DEAD_ROWS && table.dead_rows > table.live_rows {
            findings.push(Finding::warning(
                check,
                format!(
                    "{} has about {} dead rows and {} living ones",
                    table.name, table.dead_rows, table.live_rows
                ),
                format!("see snapshots, then: vacuum analyze {};", table.name),
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(check, "autovacuum is on, for all our tables"));
    }
    findings
}

/// Who keeps dead rows from being cleared away?
pub(super) async fn snapshots(conn: &mut PgConnection, age: Duration) -> Vec<Finding> {
    let check = "snapshots";
    let found = match checkup::holders(conn, age).await {
        Ok(found) => found,
        Err(error) => return vec![Finding::failed(check, error)],
    };
    if found.holders.is_empty() {
        let whose = if found.all_users {
            ""
        } else {
            " of this database user; for all: grant pg_read_all_stats to it"
        };
        return vec![Finding::ok(
            check,
            format!("no transaction has been open for long{whose}"),
        )];
    }
    let long = |seconds: f64| {
        let length = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        duration(chrono::TimeDelta::from_std(length).unwrap_or_default())
    };
    let holders = found.holders.iter().map(|holder| match holder {
        Holder::Session {
            pid,
            application,
            idle,
            seconds,
        } => Finding::fault(
            check,
            format!(
                "a transaction of {application:?} (process {pid}) has been open for {}{}: nothing that has died since \
                 is cleared away",
                long(*seconds),
                if *idle { " and does nothing" } else { "" },
            ),
            format!("end it where it comes from, or: select pg_terminate_backend({pid});"),
        ),
        Holder::Prepared { name, seconds } => Finding::fault(
            check,
            format!(
                "a prepared transaction has waited for its second phase for {}",
                long(*seconds)
            ),
            format!("rollback prepared '{}';", name.replace('\'', "''")),
        ),
        Holder::Slot { name } => Finding::fault(
            check,
            format!("nobody reads from the replication slot {name}, which keeps old rows"),
            format!("start its reader, or: select pg_drop_replication_slot('{name}');"),
        ),
    });
    holders.collect()
}

/// Is there room for one more process such as this configuration makes?
pub(super) async fn connections(conn: &mut PgConnection, pool_max: u32) -> Finding {
    match checkup::connections(conn).await {
        // This one ends with us.
        Ok(found) => judge_connections(found.limit, found.in_use - 1, pool_max),
        Err(error) => Finding::failed("connections", error),
    }
}

fn judge_connections(limit: i64, in_use: i64, pool_max: u32) -> Finding {
    let (check, needed) = ("connections", i64::from(pool_max) + BESIDE_THE_POOL);
    let left = limit - in_use;
    let says = format!(
        "{left} of {limit} connections are left; a process may make {needed}, with DATABASE_POOL_MAX={pool_max}"
    );
    let fix = "lower DATABASE_POOL_MAX, run fewer processes, or raise max_connections at Postgres";
    if limit < needed {
        Finding::fault(check, says, fix)
    } else if left < needed {
        Finding::warning(check, says, fix)
    } else {
        Finding::ok(check, says)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Status, *};

    #[test]
    fn a_process_that_could_never_have_its_connections_is_a_fault() {
        for (limit, in_use, pool_max, expected) in [
            (97, 20, 10, Status::Ok),
            (97, 90, 10, Status::Warning),
            (97, 0, 84, Status::Fault),
        ] {
            let found = judge_connections(limit, in_use, pool_max);
            assert_eq!(found.status, expected, "{}", found.says);
        }
    }
}
