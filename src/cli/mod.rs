//! The command line: one file a subcommand.

mod doctor;
mod flags;
pub(crate) mod jobs;
pub mod media;
pub(crate) mod messages;
mod migrate;
pub(crate) mod output;
mod phone_numbers;
mod processes;
#[cfg(feature = "dev")]
mod simulate;
#[cfg(not(feature = "dev"))]
mod without_dev;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

#[cfg(feature = "dev")]
use crate::dev;
use crate::{config::Env, services::Role};
use flags::Flags;

/// Takes text messages in through Twilio webhooks and never loses one.
///
/// Settings come from flags, the environment and a `.env` file, in this order. Secrets have no flag: command lines are
/// seen by everyone on the machine. See .env.example for all of them.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 110)]
struct Cli {
    /// Read settings from this file instead of `.env`.
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the receiver: checks webhooks and commits each with its job before answering.
    Receiver,
    /// Run a worker: claims jobs and runs them. Start as many as you like, on as many machines.
    Worker,
    /// Run receiver and worker in one process.
    Serve,
    /// Apply the migrations that the database does not have yet. Safe to run at any time, and again.
    Migrate,
    /// See it work: an embedded Postgres, receiver, worker and a simulated Twilio. No account, no configuration.
    #[cfg(feature = "dev")]
    Dev(dev::DevArgs),
    /// Play Twilio against a running receiver: send signed text messages.
    #[cfg(feature = "dev")]
    Simulate(simulate::SimulateArgs),
    #[cfg(not(feature = "dev"))]
    #[command(flatten)]
    WithoutDev(without_dev::WithoutDev),
    /// Link phone numbers to users, as an operator.
    #[command(subcommand)]
    PhoneNumbers(phone_numbers::Command),
    /// Look at the files that messages brought, as an operator.
    #[command(subcommand)]
    Media(media::Command),
    /// Look at what became of messages, and run them again, as an operator.
    #[command(subcommand)]
    Messages(messages::Command),
    /// Look at the queue and set it right, as an operator.
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Check everything that messages depend on, and say what mends what is wrong.
    Doctor(doctor::Args),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last word of a program that could not do its work"
)]
fn report(error: &anyhow::Error) {
    eprintln!("pigeonhole: {error:#}");
}

#[tokio::main]
async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let env = || Env::load(cli.env_file.as_deref(), cli.flags.values.clone());
    match cli.command {
        #[cfg(feature = "dev")]
        Command::Dev(args) => dev::run(args, cli.flags.values).await,
        Command::Receiver => processes::run(&env()?, Role::Receiver).await,
        Command::Worker => processes::run(&env()?, Role::Worker).await,
        Command::Serve => processes::run(&env()?, Role::Both).await,
        Command::Migrate => migrate::run(&env()?).await,
        #[cfg(feature = "dev")]
        Command::Simulate(args) => simulate::run(&env()?, args).await,
        #[cfg(not(feature = "dev"))]
        Command::WithoutDev(command) => Err(command.explain()),
        Command::PhoneNumbers(command) => phone_numbers::run(&env()?, command).await,
        Command::Media(command) => media::open_and_run(&env()?, command).await,
        Command::Messages(command) => messages::run(&env()?, command).await,
        Command::Jobs(command) => jobs::run(&env()?, command).await,
        Command::Doctor(args) => return doctor::run(&env()?, args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
