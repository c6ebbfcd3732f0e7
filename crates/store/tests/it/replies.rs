//! Replies are stored with their messages.

use std::time::Duration;

use store::inbound_messages::{self, Acceptance, NewMessage};
use store::sends::{self, NewReply, ReplyKind, SendState};
use store::{StoreError, limit_log};
use uuid::Uuid;

use crate::support::{Db, keyring, number};

const NUMBER: &str = "+15555550123";

const LIFE: Duration = Duration::from_hours(1);

async fn accept(db: &mut Db, sid: &str) {
    let message = NewMessage {
        message_sid: sid.to_owned(),
        account_sid: "AC".to_owned(),
        sender: NUMBER.to_owned(),
        fields: Vec::new(),
    };
    let acceptance = Acceptance {
        message: message.seal(&keyring()).unwrap(),
        trace: None,
    };
    inbound_messages::accept_all(db, &[acceptance])
        .await
        .unwrap();
}

fn reply(sid: &str, user_id: Option<Uuid>) -> NewReply {
    NewReply {
        message_sid: sid.to_owned(),
        user_id,
        kind: ReplyKind::Failed,
        to: number(NUMBER),
        body: "Sorry, Ana".to_owned(),
        trace: Some(format!("trace of {sid}")),
    }
}

#[tokio::test]
async fn a_reply_is_pending_and_named_by_its_message_and_shows_nothing() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    for sid in ["SM1", "SM2", "SM3"] {
        accept(&mut db, sid).await;
    }
    let replies = [reply("SM1", Some(user)), reply("SM2", None)];
    let ids = sends::enqueue_replies(&mut db, &keyring(), &replies, LIFE)
        .await
        .unwrap();
    assert_eq!(ids.len(), 2);
    let jobs = "select string_agg(message_sid || ' has ' || trace, ', ' order by message_sid)
                from queue.jobs join pigeonhole.inbound_messages on reply::text = args ->> 'send'
                where kind = 'send_reply'";
    assert_eq!(
        db.text(jobs).await,
        "SM1 has trace of SM1, SM2 has trace of SM2"
    );
    let named =
        "select string_agg(message_sid || coalesce(s.user_id::text, '-'), ' ' order by message_sid)
                 from pigeonhole.inbound_messages join pigeonhole.sends s on s.id = reply";
    assert_eq!(db.text(named).await, format!("SM1{user} SM2-"));
    for id in ids {
        let send = sends::load(&mut db, &keyring(), id).await.unwrap().unwrap();
        assert_eq!(
            (send.state, send.reply),
            (SendState::Pending, Some(ReplyKind::Failed))
        );
        assert!(!send.started && send.life <= LIFE);
        assert_eq!(
            send.message,
            Some((number(NUMBER), "Sorry, Ana".to_owned()))
        );
        assert!(!format!("{send:?}").contains("Ana"));
    }
    let table = db
        .text("select string_agg(encode(sealed, 'escape') || t::text, ' ') from pigeonhole.sends t")
        .await;
    assert!(
        !table.contains("Ana") && !table.contains("5555550123"),
        "{table}"
    );
    assert!(!format!("{:?}", replies[0]).contains("Ana"));
}

#[tokio::test]
async fn a_message_that_is_too_old_gets_none_and_one_that_is_not_there_neither() {
    let mut db = Db::migrated().await;
    accept(&mut db, "SM1").await;
    db.run(
        "update pigeonhole.inbound_messages set received_at = received_at - interval '61 minutes'",
    )
    .await;
    let replies = [reply("SM1", None), reply("SM9", None)];
    let ids = sends::enqueue_replies(&mut db, &keyring(), &replies, LIFE).await;
    assert_eq!(ids.unwrap(), Vec::<Uuid>::new());
    assert_eq!(
        db.text("select count(*)::text from pigeonhole.sends").await,
        "0"
    );
}

#[tokio::test]
async fn a_reply_for_a_user_who_is_gone_says_so() {
    let mut db = Db::migrated().await;
    accept(&mut db, "SM1").await;
    let replies = [reply("SM1", Some(Uuid::new_v4()))];
    let error = sends::enqueue_replies(&mut db, &keyring(), &replies, LIFE).await;
    assert!(
        matches!(error, Err(StoreError::UserGone { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn whoever_locks_some_of_the_same_keys_waits_and_whoever_locks_others_does_not() {
    let mut db = Db::migrated().await;
    let pool = db.crowd().await;
    let limits = |keys: &[&str]| -> Vec<limit_log::Limit> {
        let limit = |key: &&str| limit_log::Limit {
            key: (*key).to_owned(),
            most: 1,
            window: LIFE,
        };
        keys.iter().map(limit).collect()
    };
    let mut first = pool.begin().await.unwrap();
    limit_log::lock_keys(&mut first, &keyring(), &limits(&["a", "b"]))
        .await
        .unwrap();
    let mut other = pool.begin().await.unwrap();
    limit_log::lock_keys(&mut other, &keyring(), &limits(&["c"]))
        .await
        .unwrap();
    let mut second = pool.begin().await.unwrap();
    let both = limits(&["c", "b"]);
    let waiting =
        tokio::spawn(async move { limit_log::lock_keys(&mut second, &keyring(), &both).await });
    db.until_somebody_waits().await;
    drop((first, other));
    waiting.await.unwrap().unwrap();
}
