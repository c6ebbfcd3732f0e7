//! `jobs`: look at the queue, and set it right, on an operator's word.

mod args;
mod change;
pub(crate) mod report;

use anyhow::Context;
use clap::Subcommand;
use queue::admin;
use sqlx::{Connection, PgConnection};

use super::output::Output;
use crate::{
    config::{DatabaseConfig, Env, LogConfig, Reader},
    telemetry,
};
use args::{Ids, ListArgs, RequeueArgs};

/// Everything here is bounded and harmless while workers are at work. Numbers marked `~` are estimated, and of those
/// marked `+` there are at least so many.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How each kind of job is doing.
    ///
    /// MINUTE is what was completed in the last full minute, HOUR and FAILED what was completed and what attempts failed
    /// in the last hour. OLDEST is how long the oldest available job has been waiting.
    Stats(Output),
    /// List jobs in order of their numbers: live ones, or those of one state.
    List(ListArgs),
    /// Show all that is known of one job, live or dead.
    Show {
        /// Its number.
        id: i64,
        #[command(flatten)]
        output: Output,
    },
    /// Run scheduled jobs now, such as failed ones before the end of their backoff. Their attempts so far count.
    Retry(Ids),
    /// Put dead letters back into the queue: attempts count from 0, errors are kept.
    ///
    /// Give their numbers, or filters. A dead letter whose unique key a live job has stays where it is.
    Requeue(RequeueArgs),
    /// Give jobs up: they become dead letters, which can be put back with `jobs requeue`.
    Discard {
        #[command(flatten)]
        ids: Ids,
        /// Running ones too: their workers lose them and can write nothing more.
        #[arg(long)]
        force: bool,
    },
    /// Keep all workers from claiming jobs of a kind. Those that run go on.
    Pause {
        /// The kind, as `jobs stats` shows it.
        kind: String,
        /// Why, for people to read in `jobs stats`.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Let workers claim jobs of a kind again.
    Resume {
        /// The kind, as `jobs stats` shows it.
        kind: String,
        #[command(flatten)]
        output: Output,
    },
    /// Who is at work. A worker that has not given a sign of life for half a minute is marked stale.
    Workers(Output),
}

pub(super) async fn run(env: &Env, command: Command) -> anyhow::Result<()> {
    let (log, database) = Reader::read(env, |r| {
        let (log, database) = (LogConfig::read(r), DatabaseConfig::read(r));
        Some((log?, database?))
    })?;
    telemetry::init_logs(&log)?;
    let connecting = PgConnection::connect_with(&database.options);
    let mut conn = tokio::time::timeout(admin::STATEMENT_TIMEOUT, connecting)
        .await
        .map_err(anyhow::Error::from)
        .and_then(|connected| connected.map_err(anyhow::Error::from))
        .context("cannot reach the database")?;
    let conn = &mut conn;
    match command {
        Command::Stats(output) => {
            let stats = admin::stats(&mut *admin::begin(conn).await?).await?;
            output.print(&stats, report::stats)
        }
        Command::List(args) => list(conn, args).await,
        Command::Show { id, output } => {
            let job = admin::show(&mut *admin::begin(conn).await?, id).await?;
            let job = job.with_context(|| {
                format!("there is no job {id}: it has completed, or was never enqueued")
            })?;
            output.print(&job, report::job)
        }
        Command::Retry(ids) => change::retry(conn, ids).await,
        Command::Requeue(args) => change::requeue(conn, args).await,
        Command::Discard { ids, force } => change::discard(conn, ids, force).await,
        Command::Pause {
            kind,
            reason,
            output,
        } => change::pause(conn, &kind, reason.as_deref(), output).await,
        Command::Resume { kind, output } => change::resume(conn, &kind, output).await,
        Command::Workers(output) => {
            let workers = admin::workers(&mut *admin::begin(conn).await?).await?;
            output.print(&workers, report::workers)
        }
    }
}

async fn list(conn: &mut PgConnection, args: ListArgs) -> anyhow::Result<()> {
    let (filter, output) = args.into_filter();
    let page = admin::list(&mut *admin::begin(conn).await?, &filter).await?;
    output.print(&page, report::page)
}
