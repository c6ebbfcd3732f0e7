//! Workers are killed at random moments while they send: no request sends two SMS, and each send
//! ends in a defined state.
//!
//! `PIGEONHOLE_SEND_KILLS` sets the number of rounds.

use std::{collections::HashMap, time::Duration};

use twilio_simulator::{Behaviour, Callbacks, SendAnswer};
use uuid::Uuid;

use super::{age_sends, receiver_and_twilio, row, send};
use crate::{
    app::TestApp,
    process::Process,
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
};

/// The sends of a round. Their response times are random, so that a kill hits each at another
/// point.
const SENDS: u32 = 6;

/// The longest response time in milliseconds. The kill comes within about that time.
const LONGEST: u64 = 120;

fn rounds() -> u32 {
    test_run_variable("PIGEONHOLE_SEND_KILLS").map_or(10, |text| text.parse().expect("a number"))
}

fn random(below: u64) -> u64 {
    rand::random_range(0..below)
}

/// Slow to accept, slow to respond, sometimes interrupted; with or without status reports.
fn behaviour() -> Behaviour {
    let answer = match random(8) {
        0 => SendAnswer::CutAfter,
        1 => SendAnswer::CutBefore,
        2 => SendAnswer::Throttle {
            times: 1,
            retry_after: None,
        },
        _ => SendAnswer::Slow {
            before_accepting: random(LONGEST),
            after: random(LONGEST),
        },
    };
    if random(2) == 0 {
        answer.without_callbacks()
    } else {
        Behaviour {
            answer,
            callbacks: Callbacks::default(),
        }
    }
}

/// Expires the leases of a dead worker.
async fn end_leases(app: &TestApp) {
    sqlx::query("update queue.jobs set run_at = now() where locked_by is not null")
        .execute(&app.pool)
        .await
        .unwrap();
}

/// Makes delayed jobs due now: throttled sends and lookups in Twilio's list.
async fn let_time_pass(app: &TestApp) {
    age_sends(app, Duration::from_secs(40)).await;
    sqlx::query("update queue.jobs set run_at = now() where not ready and locked_by is null")
        .execute(&app.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_worker_killed_at_any_point_of_a_send_never_sends_twice() {
    let (app, api) = receiver_and_twilio(|database| {
        database
            .with("JOB_LEASE_SECONDS", "2")
            .with("RUST_LOG", "warn")
    })
    .await;
    let mut sends: HashMap<Uuid, String> = HashMap::new();
    let mut asked = 0;
    for round in 0..rounds() {
        for n in 0..SENDS {
            let number = format!("+12022{:06}", round * SENDS + n);
            api.behave(&number, behaviour());
            sends.insert(send(&app, &number).await, number);
        }
        let worker = Process::start("worker", &app.settings);
        eventually("Twilio gets a request", PATIENCE, async || {
            (api.requests().create > asked).then_some(())
        })
        .await;
        // The kill comes at a random moment, so no event can mark it.
        tokio::time::sleep(Duration::from_millis(random(2 * LONGEST))).await;
        worker.kill();
        asked = api.requests().create;
        end_leases(&app).await;
    }

    let worker = Process::start("worker", &app.settings);
    eventually("every job ends", 4 * PATIENCE, async || {
        let_time_pass(&app).await;
        (app.rows().await.jobs == 0).then_some(())
    })
    .await;
    drop(worker);

    let mut states: HashMap<String, u32> = HashMap::new();
    for (id, number) in &sends {
        let messages = api
            .accepted()
            .iter()
            .filter(|message| &message.to == number)
            .count();
        assert!(messages <= 1, "{messages} SMS for one request");
        let state = row(&app, *id).await.state;
        let named = match messages {
            0 => ["unknown", "failed"].contains(&state.as_str()),
            _ => ["sent", "delivered"].contains(&state.as_str()),
        };
        assert!(named, "{messages} SMS and {state}");
        *states.entry(state).or_default() += 1;
    }
    println!("{} rounds, {} sends: {states:?}", rounds(), sends.len());
    assert_eq!(app.rows().await.dead, 0);
}
