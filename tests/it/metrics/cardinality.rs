//! The number of series does not depend on the number of users or messages.
//!
//! `PIGEONHOLE_CARDINALITY_USERS` and `PIGEONHOLE_CARDINALITY_MESSAGES` allow a longer run.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};

use super::MetricsHarness;
use crate::{app::text, settings::test_run_variable, wait::eventually};

/// The number of connections that deliver messages.
const SENDERS: usize = 16;

/// The number of the n-th user, counted from 1. No other number of these tests equals one of them.
fn number_of(user: usize) -> String {
    format!("+1303{user:07}")
}

fn setting(name: &str, default: usize) -> usize {
    test_run_variable(name).map_or(default, |text| text.parse().expect("a number"))
}

impl MetricsHarness {
    /// Creates users, each of whom requests their number once, and delivers messages from them in
    /// turn.
    async fn populate(&self, users: Range<usize>, messages: usize) {
        stream::iter(users.clone())
            .for_each_concurrent(SENDERS / 2, async |n| {
                let user = self.user().await;
                self.database.link(user, &number_of(n)).await;
                assert_eq!(self.ask(user, "", None).await, 200);
            })
            .await;
        let (first, count) = (users.start, users.len());
        stream::iter(0..messages)
            .for_each_concurrent(SENDERS, async |n| {
                let from = number_of(first + n % count);
                let body = format!("Met person {n} #tag{n}");
                let delivery = self.twilio.deliver(&text(&from, &body)).await.unwrap();
                assert_eq!(delivery.status, 200);
            })
            .await;
        let limit = Duration::from_secs(60 + messages as u64 / 50);
        eventually("all jobs end", limit, async || {
            (self.database.rows().await.jobs == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_series_does_not_grow_with_users_or_messages() {
    let users = setting("PIGEONHOLE_CARDINALITY_USERS", 50);
    let messages = setting("PIGEONHOLE_CARDINALITY_MESSAGES", 500);
    let harness = MetricsHarness::start().await;
    harness.exercise_all().await;
    harness.populate(1..6, 20).await;
    let is_observed =
        |scrape: &super::Scrape| scrape.value("pigeonhole_observer", &[]) == Some(1.0);
    let few = harness.wait_for_metrics("it observes", is_observed).await;
    let started = Instant::now();
    harness.populate(6..6 + users, messages).await;
    let took = started.elapsed();
    let many = harness.scrape().await;
    println!(
        "{} series, {} bytes after 5 users and 20 messages; {} series, {} bytes after {users} users and {messages} \
         messages more, which took {took:?}",
        few.samples.len(),
        few.text.len(),
        many.samples.len(),
        many.text.len(),
    );
    let more: Vec<_> = many.series().difference(&few.series()).cloned().collect();
    assert!(more.is_empty(), "new: {more:?}");
    assert_eq!(few.samples.len(), many.samples.len());
    let accepted = many.value(
        "pigeonhole_receiver_webhooks_total",
        &[("outcome", "accepted")],
    );
    let expected = f64::from(u32::try_from(messages + 23).unwrap());
    assert_eq!(accepted, Some(expected));
}
