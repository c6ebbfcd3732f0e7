//! The command line. Each subcommand has one file.

mod doctor;
mod flags;
mod jobs;
pub mod media;
mod messages;
mod migrate;
mod output;
mod phone_numbers;
mod processes;
mod recover;
#[cfg(feature = "dev")]
mod simulate;
mod time_argument;
#[cfg(not(feature = "dev"))]
mod without_dev;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

#[cfg(feature = "dev")]
use crate::dev;
use crate::{config::Env, services::Role};
use flags::Flags;

/// Receives text messages through Twilio webhooks and never loses one.
///
/// Settings come from flags, the environment and a `.env` file, in this order. Secrets have no
/// flag, because every user of the machine can see command lines. The file .env.example explains
/// all settings.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 110)]
struct PigeonholeArgs {
    /// Read settings from this file instead of `.env`.
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: PigeonholeCommand,
}

#[derive(Debug, Subcommand)]
enum PigeonholeCommand {
    /// Run the receiver. It checks each webhook, and commits it together with its job before it
    /// responds.
    Receiver,
    /// Run a worker. It claims and runs jobs. You can start any number of workers, on any number of
    /// machines.
    Worker,
    /// Run a receiver and a worker in one process.
    Serve,
    /// Apply the migrations that the database does not have yet. It is safe at any time, and safe
    /// to repeat.
    Migrate,
    /// Try Pigeonhole with an embedded Postgres and a simulated Twilio. It needs no account and no
    /// configuration.
    #[cfg(feature = "dev")]
    Dev(dev::DevArgs),
    /// Send signed text messages to a running receiver, as Twilio does.
    #[cfg(feature = "dev")]
    Simulate(simulate::SimulateArgs),
    #[cfg(not(feature = "dev"))]
    #[command(flatten)]
    WithoutDev(without_dev::WithoutDev),
    /// Link phone numbers to users, for operators.
    #[command(subcommand)]
    PhoneNumbers(phone_numbers::PhoneNumbersCommand),
    /// Show the files that came with messages, for operators.
    #[command(subcommand)]
    Media(media::MediaCommand),
    /// Show what became of messages, and process messages again, for operators.
    #[command(subcommand)]
    Messages(messages::MessagesCommand),
    /// Fetch messages from Twilio that no webhook brought. Workers do this every two minutes; this
    /// command does it now, or for a longer time.
    Recover(recover::RecoverArgs),
    /// Show and change the queue, for operators.
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Check everything that messages depend on, and show how to fix what is wrong.
    Doctor(doctor::DoctorArgs),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let args = PigeonholeArgs::parse();
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the reason why the program failed")]
fn print_error(error: &anyhow::Error) {
    eprintln!("pigeonhole: {error:#}");
}

#[tokio::main]
async fn run(args: PigeonholeArgs) -> anyhow::Result<ExitCode> {
    let env = || Env::load(args.env_file.as_deref(), args.flags.values.clone());
    match args.command {
        #[cfg(feature = "dev")]
        PigeonholeCommand::Dev(command) => dev::run(command, args.flags.values).await,
        PigeonholeCommand::Receiver => processes::run(&env()?, Role::Receiver).await,
        PigeonholeCommand::Worker => processes::run(&env()?, Role::Worker).await,
        PigeonholeCommand::Serve => processes::run(&env()?, Role::Both).await,
        PigeonholeCommand::Migrate => migrate::run(&env()?).await,
        #[cfg(feature = "dev")]
        PigeonholeCommand::Simulate(command) => simulate::run(&env()?, command).await,
        #[cfg(not(feature = "dev"))]
        PigeonholeCommand::WithoutDev(command) => Err(command.explain()),
        PigeonholeCommand::PhoneNumbers(command) => phone_numbers::run(&env()?, command).await,
        PigeonholeCommand::Media(command) => media::open_and_run(&env()?, command).await,
        PigeonholeCommand::Messages(command) => messages::run(&env()?, command).await,
        PigeonholeCommand::Recover(command) => recover::run(&env()?, command).await,
        PigeonholeCommand::Jobs(command) => jobs::run(&env()?, command).await,
        PigeonholeCommand::Doctor(command) => return doctor::run(&env()?, command).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::PigeonholeArgs::command().debug_assert();
    }
}
