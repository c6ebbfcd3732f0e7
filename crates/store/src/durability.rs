//! Whether a row that was committed can be lost: what the server is set to, and its standbys.

use std::time::Duration;

use sqlx::PgConnection;

use crate::clock::seconds;
use crate::error::StoreError;

/// What decides whether a commit can be lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Durability {
    /// A commit waits for the disk of the server.
    pub fsync: bool,
    /// A crash of the machine in the middle of a write leaves no torn page.
    pub full_page_writes: bool,
    /// `synchronous_commit` of this session.
    pub synchronous_commit: String,
    /// `synchronous_standby_names`; empty if commits wait for no standby.
    pub synchronous_standby_names: String,
    /// The user may see the state of standbys. Otherwise all of them count as asynchronous.
    pub sees_standbys: bool,
    /// Standbys that commits wait for.
    pub synchronous: i64,
    /// Standbys that commits do not wait for.
    pub asynchronous: i64,
    /// How many bytes of the log the slowest standby has not stored.
    pub lag_bytes: i64,
    /// How long the slowest standby took lately to store what was written.
    pub lag: Duration,
    /// How long the oldest commit has waited for a standby; zero if none waits.
    pub commit_wait: Duration,
}

/// A cause for which a message that was acknowledged can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossCause {
    /// `fsync` is off.
    Fsync,
    /// `full_page_writes` is off.
    FullPageWrites,
    /// `synchronous_commit` is off.
    SynchronousCommit,
    /// A failover would promote a standby that no commit waits for.
    AsynchronousStandby,
}

impl LossCause {
    /// All causes.
    pub const ALL: [Self; 4] = [
        Self::Fsync,
        Self::FullPageWrites,
        Self::SynchronousCommit,
        Self::AsynchronousStandby,
    ];

    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::FullPageWrites => "full_page_writes",
            Self::SynchronousCommit => "synchronous_commit",
            Self::AsynchronousStandby => "asynchronous_standby",
        }
    }
}

impl Durability {
    /// Returns whether a committed row can be lost for this cause.
    pub fn may_lose(&self, cause: LossCause) -> bool {
        match cause {
            LossCause::Fsync => !self.fsync,
            LossCause::FullPageWrites => !self.full_page_writes,
            LossCause::SynchronousCommit => self.synchronous_commit == "off",
            // Without any standby there is no failover. While a synchronous standby is missing,
            // commits wait for it.
            LossCause::AsynchronousStandby => {
                self.sees_standbys
                    && self.synchronous + self.asynchronous > 0
                    && !self.waits_for_standby()
            }
        }
    }

    /// Commits of this session wait for a standby.
    pub fn waits_for_standby(&self) -> bool {
        let waits = !matches!(self.synchronous_commit.as_str(), "off" | "local");
        !self.synchronous_standby_names.is_empty() && waits
    }
}

/// Reads it from the server.
pub async fn durability(conn: &mut PgConnection) -> Result<Durability, StoreError> {
    // Backups and logical replication are no standbys. `flush_lag` is null while nothing is
    // written.
    let row = sqlx::query!(
        r#"select current_setting('fsync')::bool as "fsync!",
               current_setting('full_page_writes')::bool as "full_page_writes!",
               current_setting('synchronous_commit') as "synchronous_commit!",
               current_setting('synchronous_standby_names') as "synchronous_standby_names!",
               pg_has_role(session_user, 'pg_read_all_stats', 'usage') as "sees_standbys!",
               count(*) filter (where sync_state in ('sync', 'quorum')) as "synchronous!",
               count(*) filter (where sync_state in ('sync', 'quorum') is not true)
                   as "asynchronous!",
               coalesce(max(case when pg_is_in_recovery() then 0 else
                   pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn) end), 0)::bigint
                   as "lag_bytes!",
               coalesce(extract(epoch from max(flush_lag)), 0)::float8 as "lag!",
               coalesce(extract(epoch from (
                   select clock_timestamp() - min(query_start) from pg_stat_activity
                   where wait_event = 'SyncRep')), 0)::float8 as "commit_wait!"
           from pg_stat_replication standby
           where coalesce(state, 'streaming') = 'streaming'
               and not exists (
                   select from pg_replication_slots
                   where active_pid = standby.pid and slot_type = 'logical')"#,
    )
    .fetch_one(conn)
    .await?;
    Ok(Durability {
        fsync: row.fsync,
        full_page_writes: row.full_page_writes,
        synchronous_commit: row.synchronous_commit,
        synchronous_standby_names: row.synchronous_standby_names,
        sees_standbys: row.sees_standbys,
        synchronous: row.synchronous,
        asynchronous: row.asynchronous,
        lag_bytes: row.lag_bytes,
        lag: seconds(row.lag),
        commit_wait: seconds(row.commit_wait),
    })
}
