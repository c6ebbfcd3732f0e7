//! Twilio does not answer as it should: no attempt is used up, and nothing is lost.

use std::time::Duration;

use queue::testing::JobOutcome;
use twilio_simulator::{InboundText, ReadAnswer};

use super::{KIND, RecoveryHarness};
use crate::{
    app::text,
    database::NUMBER,
    wait::{PATIENCE, eventually},
};

const AGO: Duration = Duration::from_mins(10);

impl RecoveryHarness {
    /// Looks while Twilio answers like this. Returns after how long the look comes again.
    async fn snoozed_by(&self, reads: ReadAnswer) -> Duration {
        self.api
            .set_conditions(|conditions| conditions.reads = reads);
        let outcome = self.look().await;
        let JobOutcome::Snoozed { delay } = outcome else {
            panic!("{outcome:?}");
        };
        delay
    }

    /// Twilio answers as it should, and time passes until the look comes again.
    async fn twilio_is_back(&self) {
        self.api
            .set_conditions(|conditions| conditions.reads = ReadAnswer::Normal);
        self.queue.advance(Duration::from_mins(6)).await;
        self.recover().await;
    }
}

#[tokio::test]
async fn a_look_that_twilio_throttles_comes_again_when_twilio_says() {
    let harness = RecoveryHarness::start().await;
    let sid = harness.lose("Met Ana", AGO).await;
    let throttled = ReadAnswer::Throttle {
        times: 1,
        retry_after: Some(7),
    };
    let delay = harness.snoozed_by(throttled).await;
    assert!(delay.as_secs().abs_diff(7) <= 1, "{delay:?}");
    harness.twilio_is_back().await;
    assert_eq!(harness.app.state(&sid).await.as_deref(), Some("processed"));
}

#[tokio::test]
async fn a_look_at_a_twilio_that_fails_comes_again_and_uses_no_attempt() {
    for reads in [
        ReadAnswer::Throttle {
            times: 100,
            retry_after: None,
        },
        ReadAnswer::ServerError { times: 100 },
        ReadAnswer::Cut { times: 100 },
        ReadAnswer::BadCredentials,
        ReadAnswer::Refuse {
            status: 403,
            code: 20005,
        },
    ] {
        let harness = RecoveryHarness::start().await;
        let sid = harness.lose("Met Ana", AGO).await;
        let delay = harness.snoozed_by(reads.clone()).await;
        assert!(delay <= Duration::from_mins(1), "{reads:?}: {delay:?}");
        // More looks than a job has attempts.
        for _ in 0..5 {
            harness.queue.advance(Duration::from_mins(2)).await;
            harness.queue.drain().await;
        }
        let attempts: i16 = sqlx::query_scalar("select attempts from queue.jobs where kind = $1")
            .bind(KIND)
            .fetch_one(&harness.app.pool)
            .await
            .unwrap();
        assert_eq!(attempts, 0, "{reads:?}");
        harness.twilio_is_back().await;
        let state = harness.app.state(&sid).await;
        assert_eq!(state.as_deref(), Some("processed"), "{reads:?}");
        assert_eq!(harness.app.rows().await.dead, 0);
    }
}

#[tokio::test]
async fn a_look_that_fails_in_between_keeps_what_it_has_recovered_and_the_next_one_continues() {
    let harness = RecoveryHarness::start().await;
    harness.api.set_conditions(|conditions| {
        conditions.without_alerts = true;
        conditions.reads = ReadAnswer::Slow { ms: 50 };
    });
    let picture = InboundText {
        media: vec!["image/png".to_owned()],
        ..text(NUMBER, "a picture")
    };
    for n in 0..200 {
        harness.lose(&format!("Met Ana {n}"), AGO).await;
    }
    let later = Duration::from_mins(9);
    for _ in 0..40 {
        harness.lose_text(&picture, later).await;
    }
    // Twilio fails while the files of the second batch are being listed.
    let failing = async {
        eventually("the first batch is stored", PATIENCE, async || {
            (harness.app.rows().await.messages == 200).then_some(())
        })
        .await;
        let reads = ReadAnswer::ServerError { times: 100 };
        harness.api.set_conditions(|c| c.reads = reads);
    };
    let (outcome, ()) = tokio::join!(harness.look(), failing);
    assert!(matches!(outcome, JobOutcome::Snoozed { .. }), "{outcome:?}");
    let messages = harness.app.rows().await.messages;
    assert!((200..240).contains(&messages), "{messages}");
    harness.twilio_is_back().await;
    let rows = harness.app.rows().await;
    assert_eq!((rows.messages, rows.jobs, rows.dead), (240, 0, 0));
}
