//! The arguments of the `messages` commands.

use std::time::Duration;

use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use store::inbound_messages::{MessageState, message_history::MessageFilter};
use twilio::MessageSid;
use uuid::Uuid;

use crate::cli::{output::OutputFormat, time_argument::time_argument};

#[derive(Debug, Args)]
pub(in crate::cli) struct MessageListArgs {
    /// Only messages in this state.
    #[arg(long, value_parser = state_parser())]
    state: Option<MessageState>,
    /// Only this user's messages.
    #[arg(long, value_name = "UUID")]
    user: Option<Uuid>,
    /// Only messages that came in within this time: 90s, 30m, 24h or 7d.
    #[arg(long, value_name = "TIME", value_parser = time_argument, default_value = "24h")]
    since: Duration,
    /// The most messages to list.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    output: OutputFormat,
}

impl MessageListArgs {
    pub(super) fn into_filter(self) -> (MessageFilter, OutputFormat) {
        let filter = MessageFilter {
            message_sid: None,
            state: self.state,
            user_id: self.user,
            since: Some(self.since),
            limit: self.limit,
        };
        (filter, self.output)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArgs {
    /// Twilio's ids of the messages: SM or MM and 32 hexadecimal digits.
    #[arg(required = true, value_name = "SID", num_args = 1..=1000)]
    pub(super) sids: Vec<MessageSid>,
    /// Change nothing; show which items would change.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) output: OutputFormat,
}

/// The states as the database spells them, each with its meaning.
fn state_parser() -> impl TypedValueParser<Value = MessageState> {
    let values =
        MessageState::ALL.map(|state| PossibleValue::new(state.as_str()).help(meaning(state)));
    PossibleValuesParser::new(values).try_map(|text| MessageState::parse(&text))
}

fn meaning(state: MessageState) -> &'static str {
    match state {
        MessageState::Received => "its job has not finished",
        MessageState::Processed => "its items are written",
        MessageState::Failed => "it could not be processed",
        MessageState::RateLimited => "its user had sent too many messages",
        MessageState::IgnoredUnlinked => "its number is linked to no user",
        MessageState::IgnoredDisabled => "enrichment was switched off",
        MessageState::KeywordStop => "it asked us to send no more messages",
        MessageState::KeywordStart => "it asked us to send messages again",
        MessageState::KeywordHelp => "it asked for help",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_an_argument_as_the_database_spells_it() {
        #[derive(Debug, clap::Parser)]
        struct ListCommand {
            #[command(flatten)]
            args: MessageListArgs,
        }
        for state in MessageState::ALL {
            let line = ["list", "--state", state.as_str()];
            let parsed = <ListCommand as clap::Parser>::try_parse_from(line).expect("a state");
            assert_eq!(parsed.args.state, Some(state));
        }
        let line = ["list", "--state", "lost"];
        assert!(<ListCommand as clap::Parser>::try_parse_from(line).is_err());
    }
}
