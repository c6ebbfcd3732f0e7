//! `dev` and `simulate` in a build without the feature `dev`: they explain how to get the commands.

use std::ffi::OsString;

use clap::Subcommand;

/// The commands that only the feature `dev` has. Help does not list them.
#[derive(Debug, Subcommand)]
pub(super) enum WithoutDev {
    /// Not in this build.
    #[command(hide = true, disable_help_flag = true)]
    Dev(UnusedArgs),
    /// Not in this build.
    #[command(hide = true, disable_help_flag = true)]
    Simulate(UnusedArgs),
}

/// Accepts every argument, so that the explanation is the only answer.
#[derive(Debug, clap::Args)]
pub(super) struct UnusedArgs {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _arguments: Vec<OsString>,
}

impl WithoutDev {
    /// Why the command does not run, and how to get it.
    pub(super) fn explain(&self) -> anyhow::Error {
        let name = match self {
            Self::Dev(_) => "dev",
            Self::Simulate(_) => "simulate",
        };
        anyhow::anyhow!(
            "this build has no `{name}`: it is for development. In the source tree, run script/dev, \
             or build with: cargo build --release --features dev"
        )
    }
}
