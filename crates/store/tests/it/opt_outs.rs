//! Who wants no SMS: the latest word counts, under whatever key it was written.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::Keyring;
use store::opt_outs::{self, OptOutChange};
use store::sends::{self, NewVerification};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

use crate::support::{Db, keyring, number, rotated};

const NUMBER: &str = "+15555550123";

fn change(opted_out: bool, second: i64) -> OptOutChange {
    OptOutChange {
        address: NUMBER.to_owned(),
        opted_out,
        at: DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(second),
    }
}

impl Db {
    async fn change(&mut self, keyring: &Keyring, changes: &[OptOutChange]) {
        opt_outs::record(self, keyring, changes).await.unwrap();
    }

    async fn is_out(&mut self, keyring: &Keyring, address: &str) -> bool {
        opt_outs::is_opted_out(self, keyring, address)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_stop_holds_for_its_address_alone_until_a_start() {
    let mut db = Db::migrated().await;
    assert!(!db.is_out(&keyring(), NUMBER).await);
    db.change(&keyring(), &[change(true, 1)]).await;
    assert!(db.is_out(&keyring(), NUMBER).await);
    for other in ["+15555550124", "whatsapp:+15555550123"] {
        assert!(!db.is_out(&keyring(), other).await, "{other}");
    }
    db.change(&keyring(), &[change(false, 2)]).await;
    assert!(!db.is_out(&keyring(), NUMBER).await);
    let table = db.dump("pigeonhole.opt_outs").await;
    assert!(!table.contains("5555550123"), "{table}");
}

#[tokio::test]
async fn after_a_rotation_of_the_key_the_latest_word_still_counts() {
    let mut db = Db::migrated().await;
    db.change(&keyring(), &[change(true, 1)]).await;
    assert!(db.is_out(&rotated(), NUMBER).await);
    db.change(&rotated(), &[change(false, 2)]).await;
    assert!(!db.is_out(&rotated(), NUMBER).await);
    db.change(&keyring(), &[change(true, 3)]).await;
    assert!(db.is_out(&rotated(), NUMBER).await);
}

#[tokio::test]
async fn what_twilio_refused_is_learnt_for_the_number_of_the_send() {
    let mut db = Db::migrated().await;
    let send = NewVerification {
        user_id: db.user().await,
        to: number(NUMBER),
        body: "code".to_owned(),
        life: Duration::from_mins(10),
        trace: None,
    };
    let id = sends::enqueue_verification(&mut db, &keyring(), &send)
        .await
        .unwrap();
    for _ in 0..2 {
        opt_outs::record_twilio_refusal(&mut db, id).await.unwrap();
        assert!(db.is_out(&keyring(), NUMBER).await);
    }
    // A message that came in before says nothing of now; one that comes in later does.
    db.change(&keyring(), &[change(false, 1)]).await;
    assert!(db.is_out(&keyring(), NUMBER).await);
    db.change(&keyring(), &[change(false, 10_000_000_000)])
        .await;
    assert!(!db.is_out(&keyring(), NUMBER).await);
}

#[test]
fn in_whatever_order_and_batches_wishes_are_written_the_latest_counts() {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let db = Mutex::new(runtime.block_on(Db::migrated()));
    let changes = prop::collection::vec((any::<bool>(), 0i64..6, any::<bool>()), 1..10);
    let mut runner = TestRunner::new(Config::with_cases(64));
    runner
        .run(&changes, |changes| {
            runtime.block_on(async {
                let mut db = db.lock().await;
                db.run("truncate pigeonhole.opt_outs").await;
                let mut batch = Vec::new();
                for (opted_out, at, ends) in &changes {
                    batch.push(change(*opted_out, *at));
                    if *ends {
                        db.change(&keyring(), &std::mem::take(&mut batch)).await;
                    }
                }
                db.change(&keyring(), &batch).await;
                // Of two at one time, the STOP.
                let last = changes
                    .iter()
                    .map(|(out, at, _)| (*at, *out))
                    .max()
                    .unwrap();
                prop_assert_eq!(db.is_out(&keyring(), NUMBER).await, last.1);
                Ok(())
            })
        })
        .unwrap();
}
