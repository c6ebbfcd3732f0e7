//! What the commands are asked.

use std::time::Duration;

use clap::{Args, ValueEnum};
use store::inbound_messages::{MessageState, ledger::Filter};
use twilio::MessageSid;
use uuid::Uuid;

use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only those that have come so far.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only this user's.
    #[arg(long, value_name = "UUID")]
    user: Option<Uuid>,
    /// Only those that came in within this time: 90s, 30m, 24h or 7d.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "24h")]
    since: Duration,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    output: Output,
}

impl ListArgs {
    pub(super) fn into_filter(self) -> (Filter, Output) {
        let filter = Filter {
            message_sid: None,
            state: self.state.map(MessageState::from),
            user_id: self.user,
            since: Some(self.since),
            limit: self.limit,
        };
        (filter, self.output)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArgs {
    /// Their ids at Twilio: SM or MM and 32 hexadecimal digits.
    #[arg(required = true, value_name = "SID", num_args = 1..=1000)]
    pub(super) sids: Vec<MessageSid>,
    /// Change nothing; say which items would change.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) output: Output,
}

/// As they stand in the database.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum State {
    /// Its job has not ended.
    Received,
    /// Its items are written.
    Processed,
    /// It could not be processed.
    Failed,
    /// Its user had sent too many.
    RateLimited,
    /// Its number was nobody's.
    IgnoredUnlinked,
    /// Enrichment was switched off.
    IgnoredDisabled,
    /// It asked us to send no more.
    KeywordStop,
    /// It asked us to send again.
    KeywordStart,
    /// It asked for help.
    KeywordHelp,
}

impl From<State> for MessageState {
    fn from(state: State) -> Self {
        match state {
            State::Received => Self::Received,
            State::Processed => Self::Processed,
            State::Failed => Self::Failed,
            State::RateLimited => Self::RateLimited,
            State::IgnoredUnlinked => Self::IgnoredUnlinked,
            State::IgnoredDisabled => Self::IgnoredDisabled,
            State::KeywordStop => Self::KeywordStop,
            State::KeywordStart => Self::KeywordStart,
            State::KeywordHelp => Self::KeywordHelp,
        }
    }
}

/// A whole number with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    units
        .iter()
        .find_map(|(unit, seconds)| {
            let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
            Some(Duration::from_secs(u64::from(number) * seconds))
        })
        .filter(|time| *time <= Duration::from_hours(24 * 3650))
        .ok_or_else(|| "write a time such as 90s, 30m, 24h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_whole_number_with_its_unit() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("7d"), Ok(Duration::from_hours(7 * 24)));
        for wrong in ["", "24", "h", "-1h", "1.5h", "1w", "99999999999d", "4000d"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_states_are_spelt_as_in_the_database() {
        for state in State::value_variants() {
            let name = state.to_possible_value().expect("a value");
            assert_eq!(name.get_name(), MessageState::from(*state).as_str());
        }
    }
}
