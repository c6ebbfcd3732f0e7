//! `messages replay`: processes messages again.

use std::collections::BTreeSet;

use anyhow::Context;
use jobs::{ItemChange, ItemChangeKind, ReplayDeps, ReplayError, Replayed};
use queue::{Pool, PoolSettings};
use serde::Serialize;

use super::{args::ReplayArgs, database::with_statement_timeout};
use crate::{
    cli::output::TextTable,
    config::{DatabaseConfig, Env, ExtractionConfig, LogConfig, MediaStoreConfig, Reader, keyring},
    telemetry,
};

/// The result for each message.
#[derive(Serialize)]
struct ReplayReport {
    dry_run: bool,
    messages: Vec<Replayed>,
    refused: Vec<RefusedReplay>,
}

/// A message that was not processed again.
#[derive(Serialize)]
struct RefusedReplay {
    message_sid: String,
    error: String,
}

pub(super) async fn run(env: &Env, args: ReplayArgs) -> anyhow::Result<()> {
    let (log, database, keyring, store, extraction) = Reader::read(env, |r| {
        let (log, database) = (LogConfig::read(r), DatabaseConfig::read(r));
        let (store, extraction) = (MediaStoreConfig::read(r), ExtractionConfig::read(r));
        let keyring = keyring(r);
        Some((log?, database?, keyring?, store?, extraction?))
    })?;
    telemetry::init_logs(&log)?;
    let store = store.open().context("MEDIA_STORE cannot be used")?;
    let pool = Pool::new(PoolSettings {
        servers: with_statement_timeout(&database.servers),
        max_connections: 1,
        acquire_timeout: queue::admin::STATEMENT_TIMEOUT,
    });
    let mut report = ReplayReport {
        dry_run: args.dry_run,
        messages: Vec::new(),
        refused: Vec::new(),
    };
    let sids: BTreeSet<String> = args.sids.iter().map(ToString::to_string).collect();
    for sid in sids {
        let deps = ReplayDeps {
            pool: &pool,
            keyring: &keyring,
            store: &store,
            extractor: &extraction.extractor,
        };
        match jobs::replay(deps, &sid, args.dry_run).await {
            Ok(replayed) => report.messages.push(replayed),
            // The next message would fail in the same way.
            Err(ReplayError::Store(error)) if error.is_unavailable() => {
                return Err(error).context("cannot reach the database");
            }
            Err(error) => report.refused.push(RefusedReplay {
                message_sid: sid,
                error: format!("{:#}", anyhow::Error::from(error)),
            }),
        }
    }
    args.output.print(&report, text)?;
    let (all, refused) = (
        report.messages.len() + report.refused.len(),
        report.refused.len(),
    );
    anyhow::ensure!(
        refused == 0,
        "{refused} of {all} messages were not processed again"
    );
    Ok(())
}

fn text(report: &ReplayReport) -> String {
    let replayed = report.messages.iter().map(|message| {
        let Replayed {
            message_sid,
            extracted_by,
            reviewed,
            unchanged,
            changes,
            ..
        } = message;
        let line = format!(
            "{message_sid}  by {extracted_by}: {} items differ, {unchanged} are unchanged, {reviewed} stay because the \
             user has reviewed them\n",
            changes.len()
        );
        if changes.is_empty() {
            line
        } else {
            line + &table(changes)
        }
    });
    let refused = report.refused.iter().map(|refused| {
        format!(
            "{}  not processed again: {}\n",
            refused.message_sid, refused.error
        )
    });
    let dry = "Nothing was changed: this was a dry run.\n".to_owned();
    let dry = report.dry_run.then_some(dry);
    replayed.chain(refused).chain(dry).collect()
}

/// Values are personal data, so the table shows their lengths only.
fn table(changes: &[ItemChange]) -> String {
    let mut table = TextTable::new(&["  ITEM", "WHAT", "TYPE", "FIELD", ">CHARACTERS", "NEW ITEM"]);
    for change in changes {
        let id = |id: Option<uuid::Uuid>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let length =
            |length: Option<usize>| length.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let what = match change.what {
            ItemChangeKind::Added => "added",
            ItemChangeKind::Changed => "changed",
            ItemChangeKind::Removed => "removed",
        };
        table.row([
            format!("  {}", id(change.old)),
            what.to_owned(),
            change.item_type.clone(),
            change.field_name.clone().unwrap_or_else(|| "-".to_owned()),
            format!(
                "{} → {}",
                length(change.length_before),
                length(change.length_now)
            ),
            id(change.new),
        ]);
    }
    table.text()
}
