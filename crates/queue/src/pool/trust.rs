//! What a process knows about the server that its pools are connected to.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::check::{ReadOnlyServer, is_silence};

/// A connection that was idle for longer must respond before use. After a restart of the database,
/// all connections of a pool are dead. Without this, each would cost its user an error and a pause.
/// Under load, no connection is idle for this long, so none costs the round trip.
const FRESH: Duration = Duration::from_millis(200);

/// After this many refused writes in a row, the connections that exist are used no more.
const REBUILD_AFTER: u32 = 3;

/// What is done with an idle connection that is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdleVerdict {
    Use,
    /// It must respond.
    Ping,
    /// It must respond, and its server must take writes.
    Check,
    Discard,
}

/// Shared by all pools of a process that have the same servers.
#[derive(Debug, Default)]
pub(super) struct ServerTrust(Mutex<TrustState>);

#[derive(Debug, Default)]
struct TrustState {
    /// When a connection was last found to be useless.
    doubted: Option<Instant>,
    /// Connections that were made before this time are used no more.
    discarded: Option<Instant>,
    /// The last connection that was made was to a server that refuses writes.
    read_only: bool,
    /// Since the last one that was committed.
    refused_writes: u32,
    last_refused: Option<Instant>,
}

impl ServerTrust {
    fn state(&self) -> std::sync::MutexGuard<'_, TrustState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, every connection that is idle now is checked before its next use.
    pub(super) fn doubt(&self) {
        self.state().doubted = Some(Instant::now());
    }

    /// A connection was made, and could be used or not.
    pub(super) fn connected(&self, prepared: &Result<(), sqlx::Error>) {
        let mut state = self.state();
        state.read_only = prepared.as_ref().is_err_and(ReadOnlyServer::is_cause_of);
        if prepared.is_err() {
            state.doubted = Some(Instant::now());
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.state().read_only
    }

    /// An idle connection failed its check. If it has gone silent, so have the others: none of those
    /// that exist now is used again, as each check would take its whole time.
    pub(super) fn idle_failed(&self, error: &sqlx::Error) {
        let now = Instant::now();
        let mut state = self.state();
        state.doubted = Some(now);
        if is_silence(error) {
            state.discarded = Some(now);
        }
    }

    pub(super) fn write_refused(&self) {
        let mut state = self.state();
        let now = Instant::now();
        state.doubted = Some(now);
        state.last_refused = Some(now);
        state.refused_writes = state.refused_writes.saturating_add(1);
        if state.refused_writes.is_multiple_of(REBUILD_AFTER) {
            state.discarded = Some(now);
        }
    }

    pub(super) fn write_committed(&self) {
        self.state().refused_writes = 0;
    }

    /// How long ago a write was refused, if none was committed since.
    pub(super) fn last_refused(&self) -> Option<Duration> {
        let state = self.state();
        let last = state.last_refused.filter(|_| state.refused_writes > 0);
        last.map(|last| last.elapsed())
    }

    /// What to do with a connection that was idle for this time, and was made this long ago.
    pub(super) fn judge(&self, idle_for: Duration, age: Duration) -> IdleVerdict {
        let state = self.state();
        let before =
            |time: Option<Instant>, ago: Duration| time.is_some_and(|time| time.elapsed() <= ago);
        if before(state.discarded, age) {
            IdleVerdict::Discard
        } else if before(state.doubted, idle_for) {
            IdleVerdict::Check
        } else if idle_for > FRESH {
            IdleVerdict::Ping
        } else {
            IdleVerdict::Use
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_checked_after_a_pause_or_if_it_was_idle_when_another_failed() {
        let trust = ServerTrust::default();
        assert_eq!(trust.judge(SHORT, LONG), IdleVerdict::Use);
        assert_eq!(trust.judge(LONG, LONG), IdleVerdict::Ping);
        trust.doubt();
        assert_eq!(trust.judge(SHORT, LONG), IdleVerdict::Check);
        tokio::time::advance(SHORT * 2).await;
        assert_eq!(trust.judge(SHORT, LONG), IdleVerdict::Use);
    }

    #[tokio::test(start_paused = true)]
    async fn if_an_idle_connection_is_silent_the_others_are_not_tried() {
        let trust = ServerTrust::default();
        trust.idle_failed(&sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into()));
        assert_eq!(trust.judge(SHORT, LONG), IdleVerdict::Check);
        trust.idle_failed(&crate::pool::check::no_response());
        assert_eq!(trust.judge(SHORT, LONG), IdleVerdict::Discard);
    }

    #[tokio::test(start_paused = true)]
    async fn after_three_refused_writes_only_newer_connections_are_used() {
        let trust = ServerTrust::default();
        trust.write_refused();
        trust.write_refused();
        assert_eq!(trust.judge(SHORT, LONG), IdleVerdict::Check);
        trust.write_refused();
        assert_eq!(trust.judge(SHORT, LONG), IdleVerdict::Discard);
        tokio::time::advance(SHORT * 2).await;
        assert_eq!(trust.judge(Duration::ZERO, SHORT), IdleVerdict::Use);
        assert_eq!(trust.judge(Duration::ZERO, LONG), IdleVerdict::Discard);
        assert_eq!(trust.last_refused(), Some(SHORT * 2));
        trust.write_committed();
        assert_eq!(trust.last_refused(), None);
    }
}
