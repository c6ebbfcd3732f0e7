//! Stops the process on SIGTERM and SIGINT: the first signal asks for a graceful stop, the second
//! ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit status after a second signal: by convention, 128 plus the number of SIGINT.
const CUT_SHORT: i32 = 130;

/// A token that the first signal cancels.
///
/// # Errors
/// If the system refuses the signal handlers.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        tracing::info!("stopping; a second signal ends the process at once");
        token.cancel();
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        std::process::exit(CUT_SHORT);
    });
    Ok(stop)
}
