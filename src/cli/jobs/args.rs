//! What the commands are asked.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, ValueEnum};
use queue::admin::{DeadLetterFilter, JobFilter, JobState};

use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(in crate::cli) struct Ids {
    /// Their numbers.
    #[arg(required = true, value_name = "ID", num_args = 1..=1000)]
    pub(super) ids: Vec<i64>,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only this kind.
    #[arg(long)]
    kind: Option<String>,
    /// Only this state [default: all but dead].
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Only those whose last error has this text in it, in capitals or not.
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those with a higher number: how to get the next page.
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    #[command(flatten)]
    output: Output,
}

impl ListArgs {
    pub(super) fn into_filter(self) -> (JobFilter, Output) {
        let state = self.state.map(|state| match state {
            StateArg::Available => JobState::Available,
            StateArg::Running => JobState::Running,
            StateArg::Scheduled => JobState::Scheduled,
            StateArg::Dead => JobState::Dead,
        });
        let filter = JobFilter {
            kind: self.kind,
            state,
            error: self.error,
            after: self.after,
            limit: self.limit,
        };
        (filter, self.output)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateArg {
    /// A worker may claim it now.
    Available,
    /// A worker holds it.
    Running,
    /// It waits for its time: delayed, failed or snoozed.
    Scheduled,
    /// A dead letter.
    Dead,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true, args = ["ids", "kind", "error", "after", "before", "all"])]
pub(in crate::cli) struct RequeueArgs {
    /// Their numbers.
    #[arg(value_name = "ID", num_args = 1..=1000, conflicts_with_all = ["kind", "error", "after", "before", "all", "limit"])]
    pub(super) ids: Vec<i64>,
    /// All of this kind.
    #[arg(long)]
    kind: Option<String>,
    /// All whose last error has this text in it, in capitals or not.
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// All that died at this time or later: 2026-01-31, or 2026-01-31T18:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    after: Option<DateTime<Utc>>,
    /// All that died before: 2026-01-31, or 2026-01-31T18:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<DateTime<Utc>>,
    /// All there are.
    #[arg(long, conflicts_with_all = ["kind", "error", "after", "before"])]
    all: bool,
    /// At most so many, those that died first in front.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    #[command(flatten)]
    pub(super) output: Output,
}

impl RequeueArgs {
    pub(super) fn filter(&self) -> DeadLetterFilter {
        DeadLetterFilter {
            kind: self.kind.clone(),
            error: self.error.clone(),
            after: self.after,
            before: self.before,
        }
    }
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| {
            "write a day in UTC such as 2026-01-31, or a time such as 2026-01-31T18:00:00Z".into()
        })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Requeue {
        #[command(flatten)]
        args: RequeueArgs,
    }

    #[test]
    fn a_requeue_wants_numbers_or_a_filter_or_all_spelled_out() {
        let taken = |line: &str| Requeue::try_parse_from(line.split(' ')).is_ok();
        assert!(!taken("requeue"));
        assert!(!taken("requeue --limit 5"));
        assert!(!taken("requeue 1 --kind a"));
        assert!(!taken("requeue 1 --all"));
        assert!(!taken("requeue --all --kind a"));
        assert!(taken("requeue 1 2"));
        assert!(taken(
            "requeue --kind a --error b --before 2026-01-31 --limit 5"
        ));
        assert!(taken("requeue --all"));
    }

    #[test]
    fn a_time_is_a_day_or_has_its_zone() {
        assert_eq!(time("2026-01-31"), time("2026-01-31T00:00:00Z"));
        assert_eq!(
            time("2026-01-31T19:00:00+01:00"),
            time("2026-01-31T18:00:00Z")
        );
        assert!(time("2026-01-31T18:00:00").is_err());
        assert!(time("yesterday").is_err());
    }
}
