//! The flags of all settings that are not secret, made from the list of settings.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::VARIABLES;

/// The values given as flags, by the name of the environment variable.
#[derive(Debug, Default)]
pub(super) struct Flags {
    pub(super) values: BTreeMap<String, String>,
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(
            VARIABLES
                .iter()
                .filter(|variable| !variable.secret)
                .map(|variable| {
                    let default = variable.default.map(|text| format!(" [default: {text}]"));
                    Arg::new(variable.name)
                        .long(variable.flag())
                        .value_name(variable.value)
                        .help(format!(
                            "{} [env: {}]{}",
                            variable.help,
                            variable.name,
                            default.unwrap_or_default()
                        ))
                        .help_heading("Settings")
                        .hide_short_help(true)
                        .global(true)
                }),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for variable in VARIABLES.iter().filter(|variable| !variable.secret) {
            if let Some(value) = matches.get_one::<String>(variable.name) {
                self.values.insert(variable.name.to_owned(), value.clone());
            }
        }
        Ok(())
    }
}
