//! Checks whether Postgres can lose a message that was acknowledged.

use sqlx::PgConnection;
use store::{
    StoreError,
    diagnostics::{self, Durability, LossCause},
};

use super::finding::Finding;

const CHECK: &str = "durability";

/// Checks what commits wait for.
pub(super) async fn check(conn: &mut PgConnection) -> Vec<Finding> {
    match read(conn).await {
        Ok(found) => judge(&found),
        Err(error) => vec![Finding::failed(CHECK, error)],
    }
}

async fn read(conn: &mut PgConnection) -> Result<Durability, StoreError> {
    let mut tx = diagnostics::begin(conn).await?;
    let found = diagnostics::durability(&mut tx).await?;
    tx.rollback().await?;
    Ok(found)
}

fn judge(found: &Durability) -> Vec<Finding> {
    let causes = LossCause::ALL.into_iter();
    let mut findings: Vec<Finding> = causes
        .filter(|cause| found.may_lose(*cause))
        .map(|cause| loss(cause, found))
        .collect();
    if found.waits_for_standby() && found.sees_standbys && found.synchronous == 0 {
        findings.push(Finding::fault(
            CHECK,
            "synchronous_standby_names is set, and no such standby is attached: commits wait for it, and webhooks get 503",
            "start the standby; or, to accept messages without it: alter system reset synchronous_standby_names; select \
             pg_reload_conf();",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, well(found)));
    }
    findings
}

fn loss(cause: LossCause, found: &Durability) -> Finding {
    match cause {
        LossCause::Fsync => Finding::fault(
            CHECK,
            "acknowledged messages can be lost: fsync is off, so a crash of the database's machine can lose commits, or \
             the whole database",
            "as a superuser: alter system set fsync = on; select pg_reload_conf();",
        ),
        LossCause::FullPageWrites => Finding::warning(
            CHECK,
            "acknowledged messages can be lost: full_page_writes is off, so a crash of the database's machine can destroy \
             pages, unless its file system writes whole pages",
            "as a superuser: alter system set full_page_writes = on; select pg_reload_conf();",
        ),
        LossCause::SynchronousCommit => Finding::fault(
            CHECK,
            "acknowledged messages can be lost: synchronous_commit is off, so a crash of Postgres loses the commits of the \
             last moments",
            "find where it is set with: select source from pg_settings where name = 'synchronous_commit'; then, for example: \
             alter role CURRENT_USER reset synchronous_commit;",
        ),
        LossCause::AsynchronousStandby => Finding::warning(
            CHECK,
            format!(
                "acknowledged messages can be lost: no commit waits for a standby ({} attached, {} bytes behind), so a \
                 failover loses what the standby does not have yet",
                found.synchronous + found.asynchronous,
                found.lag_bytes,
            ),
            "as a superuser: alter system set synchronous_standby_names = 'ANY 1 (*)'; select pg_reload_conf(); with \
             Patroni: synchronous_mode: true and synchronous_mode_strict: true; and leave synchronous_commit on",
        ),
    }
}

fn well(found: &Durability) -> String {
    if found.waits_for_standby() && found.sees_standbys {
        return format!(
            "an acknowledged message is on the disks of the primary and of a standby ({} synchronous attached, {} bytes \
             behind)",
            found.synchronous, found.lag_bytes,
        );
    }
    if !found.sees_standbys && found.asynchronous > 0 {
        return format!(
            "an acknowledged message is on the disk of the database; {} standbys are attached, whose state only a user \
             with the role pg_monitor may see",
            found.asynchronous,
        );
    }
    "an acknowledged message is on the disk of the database, and on no other: if that disk is lost, so is what no backup \
     has"
    .to_owned()
}
