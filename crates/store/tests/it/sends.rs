use std::time::Duration;

use store::sends::{
    Move, NewVerification, Purpose, Send, SendProgress, SendState, advance, cancel_pending,
    delete_expired, enqueue_verification, give_back, last_to, load, recent_to, start,
};
use store::{Keyring, StoreError};
use uuid::Uuid;

use crate::pending_verifications::{NUMBER, OTHER};
use crate::support::{Db, NEW_KEY, keyring, number, rotated};

const BODY: &str = "Your verification code is 123456. It is good for 10 minutes.";
const HOUR: Duration = Duration::from_hours(1);

pub(crate) fn to(state: SendState) -> Move<'static> {
    Move {
        state,
        twilio_sid: None,
        reason: None,
        error_code: None,
    }
}

fn new(user_id: Uuid, text: &str) -> NewVerification {
    NewVerification {
        user_id,
        to: number(text),
        body: String::from(BODY),
        life: Duration::from_mins(10),
        trace: None,
    }
}

impl Db {
    pub(crate) async fn send(&mut self, user: Uuid) -> Uuid {
        enqueue_verification(self, &keyring(), &new(user, NUMBER))
            .await
            .unwrap()
    }

    pub(crate) async fn loaded(&mut self, id: Uuid) -> Send {
        load(self, &keyring(), id).await.unwrap().unwrap()
    }

    async fn recent(&mut self, user: Uuid, text: &str) -> Option<(u32, Duration)> {
        recent_to(
            self,
            &rotated(),
            user,
            Purpose::Verification,
            &number(text),
            HOUR,
        )
        .await
        .unwrap()
    }

    async fn last(&mut self, user: Uuid, text: &str) -> Option<SendProgress> {
        last_to(self, &rotated(), user, Purpose::Verification, &number(text))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_send_is_kept_sealed_and_opens_to_the_same() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let id = db.send(user).await;
    let send = load(&mut db, &rotated(), id).await.unwrap().unwrap();
    assert_eq!(
        (send.id, send.state, send.posted),
        (id, SendState::Pending, None)
    );
    assert_eq!(send.message, Some((number(NUMBER), String::from(BODY))));
    assert!(send.life <= Duration::from_mins(10) && send.life > Duration::from_mins(9));
    assert!(send.age < Duration::from_mins(1));

    let rows = db.dump("pigeonhole.sends").await;
    for secret in ["2025550143", "code is 123456", "636f6465206973"] {
        assert!(!rows.contains(secret), "{rows}");
    }
    let shown = format!("{send:?} {:?}", new(user, NUMBER));
    assert!(
        !shown.contains("2025550143") && !shown.contains("123456."),
        "{shown}"
    );

    let other = Keyring::parse(NEW_KEY, "").unwrap();
    let error = load(&mut db, &other, id).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    assert!(
        load(&mut db, &keyring(), Uuid::new_v4())
            .await
            .unwrap()
            .is_none()
    );
    let error = enqueue_verification(&mut db, &keyring(), &new(Uuid::new_v4(), NUMBER)).await;
    assert!(
        matches!(error, Err(StoreError::UserGone { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn of_many_who_would_start_a_send_one_may() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let id = db.send(user).await;
    let crowd = db.crowd().await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let crowd = crowd.clone();
            tokio::spawn(async move {
                let mut conn = crowd.acquire().await.unwrap();
                start(&mut conn, id).await.unwrap()
            })
        })
        .collect();
    let mut started = 0;
    for task in tasks {
        started += u32::from(task.await.unwrap());
    }
    assert_eq!(started, 1);
    let send = db.loaded(id).await;
    assert_eq!(send.state, SendState::Sending);
    assert!(send.posted.unwrap().1 < Duration::from_mins(1));
}

#[tokio::test]
async fn a_send_whose_life_is_over_does_not_start() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let id = db.send(user).await;
    db.run("update pigeonhole.sends set expires_at = clock_timestamp()")
        .await;
    assert!(!start(&mut db, id).await.unwrap());
    let send = db.loaded(id).await;
    assert_eq!(
        (send.state, send.life),
        (SendState::Pending, Duration::ZERO)
    );
    assert!(!start(&mut db, Uuid::new_v4()).await.unwrap());
}

#[tokio::test]
async fn a_send_is_given_back_only_while_nothing_is_known_of_it_at_twilio() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let id = db.send(user).await;
    assert!(!give_back(&mut db, id).await.unwrap());
    assert!(start(&mut db, id).await.unwrap());
    assert!(give_back(&mut db, id).await.unwrap());
    let send = db.loaded(id).await;
    assert_eq!((send.state, send.posted), (SendState::Pending, None));

    assert!(start(&mut db, id).await.unwrap());
    let named = Move {
        twilio_sid: Some("SM1"),
        ..to(SendState::Sending)
    };
    assert!(!advance(&mut db, id, named).await.unwrap());
    assert!(!give_back(&mut db, id).await.unwrap());

    let id = db.send(user).await;
    assert!(start(&mut db, id).await.unwrap());
    assert!(advance(&mut db, id, to(SendState::Unknown)).await.unwrap());
    assert!(!give_back(&mut db, id).await.unwrap());
}

#[tokio::test]
async fn sends_that_failed_are_not_counted_as_recent() {
    let mut db = Db::migrated().await;
    let (user, other) = (db.user().await, db.user().await);
    assert_eq!(db.recent(user, NUMBER).await, None);
    for state in [SendState::Failed, SendState::Undelivered] {
        let id = db.send(user).await;
        assert!(advance(&mut db, id, to(state)).await.unwrap());
    }
    assert_eq!(db.recent(user, NUMBER).await, None);
    for minutes in [70, 40, 20] {
        db.send(user).await;
        db.run(&format!(
            "update pigeonhole.sends set created_at = clock_timestamp() - interval '{minutes} m'
             where state = 'pending' and created_at > clock_timestamp() - interval '1 m'"
        ))
        .await;
    }
    enqueue_verification(&mut db, &rotated(), &new(user, NUMBER))
        .await
        .unwrap();
    db.run(
        "update pigeonhole.sends set created_at = clock_timestamp() - interval '30 s'
         where state = 'pending' and created_at > clock_timestamp() - interval '20 s'",
    )
    .await;
    let (count, since) = db.recent(user, NUMBER).await.unwrap();
    assert_eq!(count, 3);
    assert!((30..60).contains(&since.as_secs()), "{since:?}");
    assert_eq!(db.recent(user, OTHER).await, None);
    assert_eq!(db.recent(other, NUMBER).await, None);
}

#[tokio::test]
async fn the_last_send_to_a_number_tells_how_far_it_has_come_and_why_it_failed() {
    let mut db = Db::migrated().await;
    let (user, other) = (db.user().await, db.user().await);
    assert_eq!(db.last(user, NUMBER).await, None);
    let failed = db.send(user).await;
    let refusal = Move {
        reason: Some("opted_out"),
        error_code: Some(21610),
        ..to(SendState::Failed)
    };
    assert!(advance(&mut db, failed, refusal).await.unwrap());
    let last = db.last(user, NUMBER).await.unwrap();
    assert_eq!(last.state, SendState::Failed);
    assert_eq!(last.reason.as_deref(), Some("opted_out"));
    let code = "select error_code::text from pigeonhole.sends";
    assert_eq!(db.text(code).await, "21610");

    let again = enqueue_verification(&mut db, &rotated(), &new(user, NUMBER))
        .await
        .unwrap();
    let last = db.last(user, NUMBER).await.unwrap();
    assert_eq!((last.state, last.reason), (SendState::Pending, None));
    assert!(advance(&mut db, again, to(SendState::Sent)).await.unwrap());
    assert!(db.last(user, NUMBER).await.unwrap().updated_at > last.updated_at);
    assert_eq!(db.last(user, OTHER).await, None);
    assert_eq!(db.last(other, NUMBER).await, None);
}

#[tokio::test]
async fn only_sends_that_nobody_has_begun_are_cancelled() {
    let mut db = Db::migrated().await;
    let (user, other) = (db.user().await, db.user().await);
    let begun = db.send(user).await;
    assert!(start(&mut db, begun).await.unwrap());
    let (pending, theirs) = (db.send(user).await, db.send(other).await);
    assert_eq!(cancel_pending(&mut db, user, "cancelled").await.unwrap(), 1);
    assert_eq!(cancel_pending(&mut db, user, "cancelled").await.unwrap(), 0);
    assert_eq!(db.loaded(begun).await.state, SendState::Sending);
    assert_eq!(db.loaded(theirs).await.state, SendState::Pending);
    let send = db.loaded(pending).await;
    assert_eq!((send.state, send.message), (SendState::Failed, None));
    assert!(!start(&mut db, pending).await.unwrap());
}

#[tokio::test]
async fn recipient_and_text_are_erased_after_their_time_and_rows_after_theirs() {
    let mut db = Db::migrated().await;
    let user = db.user().await;
    let (fresh, over, late, old) = (
        db.send(user).await,
        db.send(user).await,
        db.send(user).await,
        db.send(user).await,
    );
    for unknown in [fresh, over] {
        let to = Move {
            state: SendState::Unknown,
            twilio_sid: None,
            reason: None,
            error_code: None,
        };
        assert!(advance(&mut db, unknown, to).await.unwrap());
    }
    let expired = |id: Uuid, minutes: u32| {
        format!(
            "update pigeonhole.sends set expires_at = clock_timestamp() - interval '{minutes} m' where id = '{id}'"
        )
    };
    db.run(&expired(fresh, 59)).await;
    db.run(&expired(over, 61)).await;
    db.run(&expired(late, 1)).await;
    db.run(&format!(
        "update pigeonhole.sends set created_at = created_at - interval '31 d' where id = '{old}'"
    ))
    .await;
    let month = Duration::from_hours(24 * 30);
    assert_eq!(delete_expired(&mut db, month).await.unwrap(), 3);
    assert_eq!(delete_expired(&mut db, month).await.unwrap(), 0);
    assert!(db.loaded(fresh).await.message.is_some());
    let send = db.loaded(over).await;
    assert_eq!((send.state, send.message), (SendState::Unknown, None));
    let send = db.loaded(late).await;
    assert_eq!((send.state, send.message), (SendState::Failed, None));
    assert!(load(&mut db, &keyring(), old).await.unwrap().is_none());
}
