//! Checks whether the database stays fast: the pooler, dead rows, open transactions, and
//! connections.

use std::time::Duration;

use sqlx::{PgConnection, postgres::PgConnectOptions};
use store::{
    StoreError,
    diagnostics::{self, Pooling, SnapshotHolder},
};
use tokio::time::timeout;

use super::finding::Finding;
use crate::{database::connections_beside_pool, presentation::text::duration};

/// More dead rows of a table than this are a warning, if the table also has fewer live rows.
const MANY_DEAD_ROWS: i64 = 100_000;

/// The number of tries to detect a pooler.
const ROUNDS: usize = 4;

/// The longest time that opening another session may take. A pooler in session mode may offer only
/// a few sessions.
const ROUND_LIMIT: Duration = Duration::from_secs(3);

/// Checks whether each of our connections keeps its own server process.
pub(super) async fn pooler(options: &PgConnectOptions) -> Finding {
    let check = "pooler";
    match is_shared(options).await {
        Ok(Some(false)) => Finding::ok(
            check,
            "each connection keeps its session: there is no pooler, or it is in session mode",
        ),
        Ok(Some(true)) => Finding::fault(
            check,
            "a pooler in transaction mode is between this program and Postgres: it mixes up sessions, and with them \
             prepared statements, LISTEN, and the time limit for idle transactions",
            "point DATABASE_URL at Postgres directly, or at a pooler in session mode (PgBouncer: pool_mode = session; \
             hosted databases usually have another port or host for it)",
        ),
        Ok(None) => Finding::unchecked(
            check,
            "could not be checked: the check needs three connections at once and did not get them within 3 s",
        ),
        Err(error) => Finding::failed(check, error),
    }
}

/// `None` if there were not enough connections to find out.
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

/// Checks whether Postgres removes dead rows automatically.
pub(super) async fn autovacuum(conn: &mut PgConnection) -> Vec<Finding> {
    let check = "autovacuum";
    let found = match diagnostics::autovacuum(conn).await {
        Ok(found) => found,
        Err(error) => return vec![Finding::failed(check, error)],
    };
    let mut findings = Vec::new();
    if !found.on {
        findings.push(Finding::fault(
            check,
            "autovacuum is off: the queue's tables grow without limit, and claims become slower and slower",
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
                    "{} has about {} dead rows and {} live rows",
                    table.name, table.dead_rows, table.live_rows
                ),
                format!(
                    "correct the findings of the check snapshots, then: vacuum analyze {};",
                    table.name
                ),
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            check,
            "autovacuum is on for all tables of Pigeonhole",
        ));
    }
    findings
}

/// Finds what keeps Postgres from removing dead rows.
pub(super) async fn snapshots(conn: &mut PgConnection, age: Duration) -> Vec<Finding> {
    let check = "snapshots";
    let found = match diagnostics::holders(conn, age).await {
        Ok(found) => found,
        Err(error) => return vec![Finding::failed(check, error)],
    };
    if found.holders.is_empty() {
        let whose = if found.all_users {
            ""
        } else {
            " by this database user; to check all users: grant pg_read_all_stats to it"
        };
        return vec![Finding::ok(
            check,
            format!("no transaction has been held open for long{whose}"),
        )];
    }
    let long = |seconds: f64| {
        let length = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        duration(chrono::TimeDelta::from_std(length).unwrap_or_default())
    };
    let holders = found.holders.iter().map(|holder| match holder {
        SnapshotHolder::Session {
            pid,
            application,
            idle,
            seconds,
        } => Finding::fault(
            check,
            format!(
                "a transaction of {application:?} (process {pid}) has been open for {}{}: Postgres cannot remove rows \
                 that died since",
                long(*seconds),
                if *idle { " and is idle" } else { "" },
            ),
            format!("end it in that application, or: select pg_terminate_backend({pid});"),
        ),
        SnapshotHolder::Prepared { name, seconds } => Finding::fault(
            check,
            format!(
                "a prepared transaction has been neither committed nor rolled back for {}",
                long(*seconds)
            ),
            format!("rollback prepared '{}';", name.replace('\'', "''")),
        ),
        SnapshotHolder::Slot { name } => Finding::fault(
            check,
            format!("no client reads from the replication slot {name}, which keeps old rows"),
            format!("start its client, or: select pg_drop_replication_slot('{name}');"),
        ),
    });
    holders.collect()
}

/// Checks whether Postgres has connections left for one more process with this configuration.
pub(super) async fn connections(conn: &mut PgConnection, pool_max: u32) -> Finding {
    match diagnostics::connections(conn).await {
        // This command holds one connection and is about to end.
        Ok(found) => judge_connections(found.limit, found.in_use - 1, pool_max),
        Err(error) => Finding::failed("connections", error),
    }
}

fn judge_connections(limit: i64, in_use: i64, pool_max: u32) -> Finding {
    let (check, needed) = (
        "connections",
        i64::from(pool_max) + i64::from(connections_beside_pool(true, true)),
    );
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
    use super::{super::finding::FindingStatus, *};

    #[test]
    fn a_process_that_can_never_get_its_connections_is_a_fault() {
        for (limit, in_use, pool_max, expected) in [
            (97, 20, 10, FindingStatus::Ok),
            (97, 90, 10, FindingStatus::Warning),
            (97, 0, 86, FindingStatus::Fault),
        ] {
            let found = judge_connections(limit, in_use, pool_max);
            assert_eq!(found.status, expected, "{}", found.says);
        }
    }
}
