//! `jobs`: shows the queue to an operator, and changes it.

mod args;
mod change;
mod tables;

use anyhow::Context;
use clap::Subcommand;
use queue::admin;
use sqlx::PgConnection;

use super::output::OutputFormat;
use crate::{
    config::{DatabaseConfig, Env, LogConfig, Reader},
    telemetry,
};
use args::{JobIds, JobListArgs, RequeueArgs};

/// Every command is safe while workers run, and stops after a few seconds at most. In a count, `~`
/// marks an estimate and `+` a lower bound.
#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// Show the counts of each kind of job.
    ///
    /// MINUTE counts the jobs completed in the last full minute, HOUR those completed in the last
    /// hour, and FAILED the attempts that failed in the last hour. OLDEST is how long the oldest
    /// available job has waited.
    Stats(OutputFormat),
    /// List jobs in the order of their ids: live jobs, or jobs in one state.
    List(JobListArgs),
    /// Show all facts about one job, live or dead.
    Show {
        /// The id of the job.
        id: i64,
        #[command(flatten)]
        output: OutputFormat,
    },
    /// Run scheduled jobs now, for example failed jobs before their backoff ends. Earlier attempts
    /// still count.
    Retry(JobIds),
    /// Put dead letters back into the queue. Their attempts count from 0 again, and their errors
    /// are kept.
    ///
    /// Give ids or filters. A dead letter stays dead if a live job has the same unique key.
    Requeue(RequeueArgs),
    /// Turn jobs into dead letters, which `jobs requeue` can put back.
    Discard {
        #[command(flatten)]
        ids: JobIds,
        /// Also discard running jobs. Their workers lose the lease and can write nothing more.
        #[arg(long)]
        force: bool,
    },
    /// Stop all workers from claiming jobs of a kind. Running jobs continue.
    Pause {
        /// The kind, as `jobs stats` shows it.
        kind: String,
        /// The reason, which `jobs stats` shows to other operators.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        output: OutputFormat,
    },
    /// Let workers claim jobs of a kind again.
    Resume {
        /// The kind, as `jobs stats` shows it.
        kind: String,
        #[command(flatten)]
        output: OutputFormat,
    },
    /// List the workers. A worker is stale if it has sent no heartbeat for half a minute.
    Workers(OutputFormat),
}

pub(super) async fn run(env: &Env, command: JobsCommand) -> anyhow::Result<()> {
    let (log, database) = Reader::read(env, |r| {
        let (log, database) = (LogConfig::read(r), DatabaseConfig::read(r));
        Some((log?, database?))
    })?;
    telemetry::init_logs(&log)?;
    let mut conn = database
        .servers
        .connect(admin::STATEMENT_TIMEOUT)
        .await
        .context("cannot reach the database")?;
    let conn = &mut conn;
    match command {
        JobsCommand::Stats(output) => {
            let stats = admin::stats(&mut *admin::begin(conn).await?).await?;
            output.print(&stats, tables::stats)
        }
        JobsCommand::List(args) => list(conn, args).await,
        JobsCommand::Show { id, output } => {
            let job = admin::show(&mut *admin::begin(conn).await?, id).await?;
            let job = job.with_context(|| {
                format!("there is no job {id}: it has completed, or it was never enqueued")
            })?;
            output.print(&job, tables::job)
        }
        JobsCommand::Retry(ids) => change::retry(conn, ids).await,
        JobsCommand::Requeue(args) => change::requeue(conn, args).await,
        JobsCommand::Discard { ids, force } => change::discard(conn, ids, force).await,
        JobsCommand::Pause {
            kind,
            reason,
            output,
        } => change::pause(conn, &kind, reason.as_deref(), output).await,
        JobsCommand::Resume { kind, output } => change::resume(conn, &kind, output).await,
        JobsCommand::Workers(output) => {
            let workers = admin::workers(&mut *admin::begin(conn).await?).await?;
            output.print(&workers, tables::workers)
        }
    }
}

async fn list(conn: &mut PgConnection, args: JobListArgs) -> anyhow::Result<()> {
    let (filter, output) = args.into_filter();
    let page = admin::list(&mut *admin::begin(conn).await?, &filter).await?;
    output.print(&page, tables::page)
}
