//! `doctor`: looks at everything that messages depend on, and says what is wrong and what mends it.
//!
//! Every check is a function that answers with findings, and all of them run, also when one finds something. None shows
//! a phone number, a text or a secret. Nothing is changed, but for a file that is written to the media store and deleted
//! again; with `--fix`, settings at Twilio.

mod configuration;
mod database;
mod finding;
mod fix;
mod keys;
mod media;
mod model;
mod number;
mod queue;
mod report;
mod twilio;
mod upkeep;
mod webhook;

use std::{process::ExitCode, time::Duration};

use clap::ValueEnum;

use super::output::Output;
use crate::{
    config::{DatabaseConfig, Env, LogConfig, keyring},
    services::Role,
    telemetry,
};
use configuration::{part, unusable};
use finding::Finding;
use fix::Plan;
use report::Report;

/// Exits with 1 if there is a fault, with 2 if there is none but something could not be checked, and else with 0, also
/// when there are warnings.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What runs on this machine: a worker's settings are not needed for a receiver.
    #[arg(long, value_enum, default_value_t = Process::Serve)]
    process: Process,
    /// Set what is wrong with the webhook at Twilio. What is to change is shown, and asked about.
    #[arg(long)]
    fix: bool,
    /// With --fix, do not ask.
    #[arg(long, requires = "fix")]
    yes: bool,
    /// A transaction that has been open for longer is a fault.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    max_snapshot_seconds: u64,
    #[command(flatten)]
    output: Output,
}

/// What a machine runs.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Process {
    /// `pigeonhole receiver`
    Receiver,
    /// `pigeonhole worker`
    Worker,
    /// `pigeonhole serve`, or both
    Serve,
}

impl From<Process> for Role {
    fn from(process: Process) -> Self {
        match process {
            Process::Receiver => Self::Receiver,
            Process::Worker => Self::Worker,
            Process::Serve => Self::Both,
        }
    }
}

pub(super) async fn run(env: &Env, args: Args) -> anyhow::Result<ExitCode> {
    if let Some(log) = part(env, LogConfig::read) {
        telemetry::init_logs(&log)?;
    }
    let role = args.process.into();
    let mut findings = configuration::check(env, role);
    findings.extend(of_the_database(env, &args).await);
    if role != Role::Receiver {
        findings.extend(media::check(env).await);
        findings.push(model::check(env));
    }
    let mut report = Report {
        findings,
        changes: Vec::new(),
    };
    let (findings, plan) = twilio::check(env, role).await;
    match plan {
        Some(plan) if args.fix => mend(env, &args, findings, plan, &mut report).await?,
        _ => report.findings.extend(findings),
    }
    args.output.print(&report, Report::text)?;
    Ok(report.exit_code())
}

/// Changes what is agreed to, and looks again.
async fn mend(
    env: &Env,
    args: &Args,
    findings: Vec<Finding>,
    mut plan: Plan,
    report: &mut Report,
) -> anyhow::Result<()> {
    if !plan.agreed(args.yes)? {
        report.findings.extend(findings);
    } else if let Err(error) = plan.apply().await {
        report.findings.extend(findings);
        report.findings.push(Finding::fault(
            "twilio_fix",
            format!("the settings at Twilio were not changed, or nobody knows: {error}"),
            "pigeonhole doctor --fix, once more",
        ));
    } else {
        report
            .findings
            .extend(twilio::check(env, args.process.into()).await.0);
    }
    report.note(plan);
    Ok(())
}

async fn of_the_database(env: &Env, args: &Args) -> Vec<Finding> {
    let Some(config) = part(env, DatabaseConfig::read) else {
        return vec![unusable("database")];
    };
    let options = &config.options;
    let mut conn = match database::connect(options).await {
        Ok(conn) => conn,
        Err(fault) => {
            let unseen = |check| Finding::unchecked(check, "could not be checked: see database");
            return vec![fault, unseen("migrations"), unseen("keys"), unseen("queue")];
        }
    };
    let conn = &mut conn;
    let mut findings = database::server(conn, options).await;
    findings.push(upkeep::pooler(options).await);
    findings.push(database::clock(conn).await);
    findings.extend(upkeep::autovacuum(conn).await);
    let age = Duration::from_secs(args.max_snapshot_seconds);
    findings.extend(upkeep::snapshots(conn, age).await);
    findings.push(upkeep::connections(conn, config.max_connections).await);
    let (migrations, current) = database::migrations(conn).await;
    findings.push(migrations);
    if current {
        match part(env, keyring) {
            Some(keyring) => findings.extend(keys::check(conn, &keyring).await),
            None => findings.push(unusable("keys")),
        }
        findings.extend(queue::check(conn).await);
    } else {
        let unseen = |check| Finding::unchecked(check, "could not be checked: see migrations");
        findings.extend([unseen("keys"), unseen("queue")]);
    }
    findings
}
