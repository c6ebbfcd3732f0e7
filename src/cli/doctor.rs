//! `doctor`: checks everything that messages depend on. It reports what is wrong and how to fix it.
//!
//! Every check is a function that returns findings. All checks run, even after a fault. No finding
//! contains a phone number, a text or a secret. The doctor changes nothing, except that it writes a
//! file to the media store and deletes it again. With `--fix` it changes settings at Twilio.

mod api_error;
mod change;
mod configuration;
mod database;
mod durability;
mod finding;
mod fix;
mod keys;
mod media;
mod model;
mod number;
mod postgres;
mod queue;
mod recovery;
mod report;
mod twilio;
mod webhook;

use std::{process::ExitCode, time::Duration};

use clap::ValueEnum;

use super::output::OutputFormat;
use crate::{
    config::{DatabaseConfig, Env, LogConfig, keyring},
    services::Role,
    telemetry,
};
use configuration::{part, unusable};
use finding::Finding;
use fix::TwilioFix;
use report::DoctorReport;

/// The exit code is 1 if there is a fault, 2 if there is no fault but a check could not run, and
/// otherwise 0. Warnings do not change it.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    /// The process that runs on this machine. A receiver does not need a worker's settings.
    #[arg(long, value_enum, default_value_t = ProcessArg::Serve)]
    process: ProcessArg,
    /// Correct the webhook settings at Twilio. The command shows the changes and asks before it
    /// makes them.
    #[arg(long)]
    fix: bool,
    /// With --fix, do not ask.
    #[arg(long, requires = "fix")]
    yes: bool,
    /// A transaction that has been open for longer than this is a fault.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    max_snapshot_seconds: u64,
    #[command(flatten)]
    output: OutputFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProcessArg {
    /// `pigeonhole receiver`
    Receiver,
    /// `pigeonhole worker`
    Worker,
    /// `pigeonhole serve`, or both
    Serve,
}

impl From<ProcessArg> for Role {
    fn from(process: ProcessArg) -> Self {
        match process {
            ProcessArg::Receiver => Self::Receiver,
            ProcessArg::Worker => Self::Worker,
            ProcessArg::Serve => Self::Both,
        }
    }
}

pub(super) async fn run(env: &Env, args: DoctorArgs) -> anyhow::Result<ExitCode> {
    if let Some(log) = part(env, LogConfig::read) {
        telemetry::init_logs(&log)?;
    }
    let role = args.process.into();
    let mut findings = configuration::check(env, role);
    findings.extend(check_database(env, &args).await);
    if role != Role::Receiver {
        findings.extend(media::check(env).await);
        findings.push(model::check(env));
    }
    let mut report = DoctorReport {
        findings,
        changes: Vec::new(),
    };
    let (findings, fix) = twilio::check(env, role).await;
    match fix {
        Some(fix) if args.fix => apply(env, &args, findings, fix, &mut report).await?,
        _ => report.findings.extend(findings),
    }
    args.output.print(&report, DoctorReport::text)?;
    Ok(report.exit_code())
}

/// Changes the settings if the operator agrees, and checks Twilio again.
async fn apply(
    env: &Env,
    args: &DoctorArgs,
    findings: Vec<Finding>,
    mut fix: TwilioFix,
    report: &mut DoctorReport,
) -> anyhow::Result<()> {
    if !fix.is_confirmed(args.yes)? {
        report.findings.extend(findings);
    } else if let Err(error) = fix.apply().await {
        report.findings.extend(findings);
        report.findings.push(Finding::fault(
            "twilio_fix",
            format!("the request to change the settings at Twilio failed: {error}"),
            "run pigeonhole doctor --fix again",
        ));
    } else {
        report
            .findings
            .extend(twilio::check(env, args.process.into()).await.0);
    }
    report.changes.extend(fix.changes);
    Ok(())
}

async fn check_database(env: &Env, args: &DoctorArgs) -> Vec<Finding> {
    let Some(config) = part(env, DatabaseConfig::read) else {
        return vec![unusable("database")];
    };
    let (mut conn, options) = match database::connect(&config.servers).await {
        Ok(connected) => connected,
        Err(fault) => {
            let unchecked = |check| Finding::unchecked(check, "could not be checked: see database");
            return vec![
                fault,
                unchecked("migrations"),
                unchecked("keys"),
                unchecked("queue"),
            ];
        }
    };
    let (conn, options) = (&mut conn, &options);
    let mut findings = database::server(conn, options).await;
    findings.push(postgres::pooler(options).await);
    findings.push(database::clock(conn).await);
    findings.extend(durability::check(conn).await);
    findings.extend(postgres::autovacuum(conn).await);
    let age = Duration::from_secs(args.max_snapshot_seconds);
    findings.extend(postgres::snapshots(conn, age).await);
    findings.push(postgres::connections(conn, config.max_connections).await);
    let (migrations, current) = database::migrations(conn).await;
    findings.push(migrations);
    if current {
        match part(env, keyring) {
            Some(keyring) => findings.extend(keys::check(conn, &keyring).await),
            None => findings.push(unusable("keys")),
        }
        findings.extend(queue::check(conn).await);
        findings.extend(recovery::last_look(env, conn).await);
    } else {
        let unchecked = |check| Finding::unchecked(check, "could not be checked: see migrations");
        findings.extend([unchecked("keys"), unchecked("queue")]);
    }
    findings
}
