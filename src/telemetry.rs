//! Logs.
//!
//! They go to standard error. They name messages by SID and jobs by number, and hold no phone number, text or token.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogConfig;

/// Starts logging, for the whole process.
pub fn init_logs(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::new(&config.filter);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let installed = if config.json {
        builder.json().try_init()
    } else {
        builder.try_init()
    };
    installed.map_err(|_| anyhow::anyhow!("logging was started twice"))?;
    // The standard hook prints the panic's text, which may quote the message that a job choked on.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(location, "a task panicked; this is a bug, please report it");
    }));
    Ok(())
}
