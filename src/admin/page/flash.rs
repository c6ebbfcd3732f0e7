//! The result of a change, which the next page shows once.

use std::fmt;

use super::fields::FormFields;

/// The name of the query parameter.
const PARAMETER: &str = "flash";

/// The result of a change. It travels in the query string as a name and a number, so that no link
/// can put other text on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlashMessage {
    Requeued(u32),
    KeyTaken,
    NotDead,
    Retried,
    NotRetried,
    Paused,
    Resumed,
}

impl FlashMessage {
    pub(super) fn of_query(fields: &FormFields) -> Option<Self> {
        let (name, number) = fields.get(PARAMETER)?.split_once('-')?;
        let number = number.parse().ok()?;
        let all = [
            Self::Requeued(number),
            Self::KeyTaken,
            Self::NotDead,
            Self::Retried,
            Self::NotRetried,
            Self::Paused,
            Self::Resumed,
        ];
        all.into_iter().find(|flash| flash.name() == name)
    }

    pub(super) fn to_query(self) -> (&'static str, String) {
        (PARAMETER, format!("{}-{}", self.name(), self.number()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Requeued(_) => "requeued",
            Self::KeyTaken => "key_taken",
            Self::NotDead => "not_dead",
            Self::Retried => "retried",
            Self::NotRetried => "not_retried",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Requeued(number) => number,
            Self::KeyTaken
            | Self::NotDead
            | Self::Retried
            | Self::NotRetried
            | Self::Paused
            | Self::Resumed => 0,
        }
    }
}

impl fmt::Display for FlashMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requeued(0) => {
                "No dead letter was put back: there is none, or live jobs have the same unique keys."
            }
            Self::Requeued(1) => "1 dead letter was put back into the queue.",
            Self::Requeued(number) => {
                return write!(f, "{number} dead letters were put back into the queue.");
            }
            Self::KeyTaken => {
                "The dead letter was not put back: a live job has the same unique key."
            }
            Self::NotDead => "The job is not a dead letter any more.",
            Self::Retried => "The job is available now.",
            Self::NotRetried => "The job was not changed: it is running or has completed.",
            Self::Paused => "Workers claim no more jobs of this kind. Running jobs continue.",
            Self::Resumed => "Workers claim jobs of this kind again.",
        })
    }
}
