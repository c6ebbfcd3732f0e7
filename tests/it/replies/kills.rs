//! Workers are killed at random moments while messages end and replies are sent: no message gets
//! two replies, a message that did not end gets none, and each send ends in a defined state.
//!
//! `PIGEONHOLE_SEND_KILLS` sets the number of rounds, as for verification SMS.

use std::{collections::HashMap, time::Duration};

use twilio_simulator::SendAnswer;

use crate::{
    app::text,
    process::Process,
    sends::{age_sends, receiver_and_twilio},
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
};

/// The messages of a round, each from its own number.
const MESSAGES: u32 = 8;

/// The longest response time of the simulated Twilio in milliseconds. The kill comes within about
/// that time.
const LONGEST: u64 = 100;

fn random(below: u64) -> u64 {
    rand::random_range(0..below)
}

#[tokio::test]
async fn a_worker_killed_at_any_point_never_replies_twice_and_loses_no_message() {
    let rounds: u32 = test_run_variable("PIGEONHOLE_SEND_KILLS")
        .map_or(6, |text| text.parse().expect("a number"));
    let (app, api) = receiver_and_twilio(|database| {
        database
            .with("REPLIES", "all")
            .with("JOB_LEASE_SECONDS", "2")
            .with("RUST_LOG", "warn")
    })
    .await;
    let mut messages: HashMap<String, String> = HashMap::new();
    for round in 0..rounds {
        for n in 0..MESSAGES {
            let number = format!("+12023{:06}", round * MESSAGES + n);
            let answer = match random(5) {
                0 => SendAnswer::CutAfter.without_callbacks(),
                1 => SendAnswer::CutBefore.into(),
                _ => SendAnswer::Slow {
                    before_accepting: random(LONGEST),
                    after: random(LONGEST),
                }
                .into(),
            };
            api.behave(&number, answer);
            let sid = app.deliver_text(&text(&number, "Hello")).await;
            messages.insert(sid, number);
        }
        let asked = api.requests().create;
        let worker = Process::start("worker", &app.settings);
        eventually("Twilio gets a request for a reply", PATIENCE, async || {
            (api.requests().create > asked).then_some(())
        })
        .await;
        // The kill comes at a random moment, so no event can mark it.
        tokio::time::sleep(Duration::from_millis(random(2 * LONGEST))).await;
        worker.kill();
        sqlx::query("update queue.jobs set run_at = now() where locked_by is not null")
            .execute(&app.pool)
            .await
            .unwrap();
    }
    let worker = Process::start("worker", &app.settings);
    eventually("every job ends", 4 * PATIENCE, async || {
        age_sends(&app, Duration::from_secs(40)).await;
        sqlx::query("update queue.jobs set run_at = now() where not ready and locked_by is null")
            .execute(&app.pool)
            .await
            .unwrap();
        (app.rows().await.jobs == 0).then_some(())
    })
    .await;
    drop(worker);

    let mut states: HashMap<String, u32> = HashMap::new();
    for (sid, number) in &messages {
        assert_eq!(app.state(sid).await.as_deref(), Some("ignored_unlinked"));
        let replies: Vec<String> = sqlx::query_scalar(
            "select sends.state from pigeonhole.sends join pigeonhole.inbound_messages on reply = id
             where message_sid = $1",
        )
        .bind(sid)
        .fetch_all(&app.pool)
        .await
        .unwrap();
        let [state] = replies.as_slice() else {
            panic!("{replies:?}");
        };
        let sent = api.accepted().iter().filter(|it| &it.to == number).count();
        assert!(sent <= 1, "{sent} replies to one message");
        let named: &[&str] = match sent {
            0 => &["unknown", "failed"],
            _ => &["sent", "delivered"],
        };
        assert!(
            named.contains(&state.as_str()),
            "{sent} replies and {state}"
        );
        *states.entry(state.clone()).or_default() += 1;
    }
    let sends: i64 = sqlx::query_scalar("select count(*) from pigeonhole.sends")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(usize::try_from(sends).unwrap(), messages.len());
    assert_eq!(app.rows().await.dead, 0);
    println!("{rounds} rounds, {} messages: {states:?}", messages.len());
}
