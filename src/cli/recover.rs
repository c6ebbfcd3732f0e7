//! `recover`: fetches messages from Twilio that no webhook brought, now and not at the next look.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use jobs::{FoundMessage, LookReport, LookScope, recover};
use queue::{Pool, PoolSettings, Waker};

use super::{
    output::{OutputFormat, TextTable},
    time_argument::time_argument,
};
use crate::{
    config::{DatabaseConfig, Env, LogConfig, Reader, RecoveryConfig, keyring},
    telemetry,
    worker::recovery_deps,
};

#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// Look at all messages of this last time: 30m, 24h or 7d. Without it, at those since the last
    /// look. A time from before a number pointed at us finds messages that were meant for another
    /// program: look with --dry-run first.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    since: Option<Duration>,
    /// Change nothing; show which messages are missing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputFormat,
}

pub(super) async fn run(env: &Env, args: RecoverArgs) -> anyhow::Result<()> {
    let (log, database, keyring, recovery) = Reader::read(env, |r| {
        let (log, database) = (LogConfig::read(r), DatabaseConfig::read(r));
        let (keyring, recovery) = (keyring(r), RecoveryConfig::read(r));
        Some((log?, database?, keyring?, recovery?))
    })?;
    telemetry::init_logs(&log)?;
    let recovery = recovery.context(
        "RECOVERY is off, or neither PUBLIC_BASE_URL nor RECOVERY_NUMBERS says which numbers are yours",
    )?;
    let pool = Pool::new(PoolSettings {
        servers: database.servers,
        max_connections: 2,
        acquire_timeout: queue::admin::STATEMENT_TIMEOUT,
    });
    let waker = Waker::start(&pool);
    let deps = recovery_deps(pool, Arc::new(keyring), &recovery, waker)?;
    let scope = LookScope {
        since: args.since,
        dry_run: args.dry_run,
    };
    let report = recover(&deps, scope).await?;
    args.output.print(&report, text)
}

fn text(report: &LookReport) -> String {
    let LookReport {
        numbers, listed, ..
    } = report;
    let looked =
        format!("Twilio lists {listed} messages of that time to {numbers} numbers of yours.\n");
    if report.messages.is_empty() {
        return looked + "No message is missing.\n";
    }
    let mut table = TextTable::new(&["MESSAGE", "SENT", ">FILES", ">ERROR", "STATE"]);
    for found in &report.messages {
        table.row(row(found));
    }
    let dry = if report.dry_run {
        "Nothing was changed: this was a dry run.\n"
    } else {
        ""
    };
    looked + &table.text() + dry
}

fn row(found: &FoundMessage) -> [String; 5] {
    let code = found.error_code.map(|code| code.to_string());
    [
        found.message_sid.clone(),
        found.sent_at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        found.files.to_string(),
        code.unwrap_or_else(|| "-".to_owned()),
        found.state.as_str().to_owned(),
    ]
}
