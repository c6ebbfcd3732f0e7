//! One ledger over everything: Twilio takes texts and tries their webhooks as it does, while
//! everything that can fail does. At the end, each text that Twilio took has taken effect exactly
//! once, and was answered by one reply at most.
//!
//! `script/zero-loss N` runs it: `ZERO_LOSS_TEXTS` sets the number of texts, and `ZERO_LOSS_RATE` how
//! many are sent a second. Without the first one the test is skipped, because it takes minutes.

#![expect(clippy::print_stdout, reason = "the figures of a long run")]

mod faults;
mod harness;
mod ledger;
mod proxy;
mod traffic;

use std::time::Duration;

use self::{faults::at_random, harness::ZeroLossHarness, traffic::Traffic};
use crate::{
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
};

fn setting(name: &str) -> Option<usize> {
    test_run_variable(name).map(|text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_text_that_twilio_took_takes_effect_exactly_once() {
    let Some(texts) = setting("ZERO_LOSS_TEXTS") else {
        println!("SKIPPED: script/zero-loss runs it");
        return;
    };
    let rate = setting("ZERO_LOSS_RATE").unwrap_or(50);
    let mut harness = ZeroLossHarness::start().await;
    let expected = harness.calm_weather().await;
    let traffic = Traffic::start(&harness.twilio, &harness.numbers, texts, rate);
    let mut rounds = 0;
    while !traffic.is_over() {
        rounds += 1;
        let before = traffic.taken();
        for fault in at_random() {
            harness.begin(fault).await;
        }
        let lasting = Duration::from_millis(rand::random_range(200..5000));
        tokio::time::sleep(lasting).await;
        harness.end_faults().await;
        // Everything works for a moment, so that each fault meets a working system.
        eventually("more texts are taken", PATIENCE, async || {
            (traffic.is_over() || traffic.taken() > before).then_some(())
        })
        .await;
    }
    traffic.finish().await;
    harness.settle().await;
    harness.verify(&expected, rounds).await;
}
