use sqlx::PgConnection;
use store::inbound_messages::{self, Acceptance, MessageState, NewMessage};
use store::{Keyring, StoreError};

use crate::support::{Db, NEW_KEY, keyring, rotated};

const SID: &str = "SM00000000000000000000000000000001";

pub(crate) fn message(sid: &str) -> NewMessage {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    NewMessage {
        message_sid: sid.to_owned(),
        account_sid: "AC00000000000000000000000000000001".to_owned(),
        sender: "+15555550123".to_owned(),
        fields: vec![
            field("From", "+15555550123"),
            field("Body", "met Ada, “likes chess” 🎲"),
            field("Body", ""),
        ],
    }
}

/// Accepts one message; true if it is new.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    keyring: &Keyring,
    message: &NewMessage,
) -> bool {
    let new = accept(conn, keyring, std::slice::from_ref(message)).await;
    new == [message.message_sid.as_str()]
}

/// Accepts messages together; the SIDs of the new ones, sorted.
async fn accept(
    conn: &mut PgConnection,
    keyring: &Keyring,
    messages: &[NewMessage],
) -> Vec<String> {
    let acceptances: Vec<Acceptance> = messages
        .iter()
        .map(|message| Acceptance {
            message: message.seal(keyring).unwrap(),
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        })
        .collect();
    let mut new = inbound_messages::accept_all(conn, &acceptances)
        .await
        .unwrap();
    new.sort();
    new
}

#[tokio::test]
async fn messages_accepted_together_are_all_there_each_with_one_job_in_its_senders_lane() {
    let mut db = Db::migrated().await;
    assert!(insert(&mut db, &keyring(), &message("SM2")).await);
    let mut other = message("SM3");
    other.sender = "+15555550199".to_owned();
    let batch = [message(SID), message("SM2"), other, message("SM4")];
    let new = accept(&mut db, &keyring(), &batch).await;
    assert_eq!(new, [SID, "SM3", "SM4"], "SM2 was there before");
    let jobs = "select string_agg(args ->> 'message', ' ' order by position, id)
                from queue.jobs where ready and kind = 'process_message' and max_attempts = 12
                    and trace is not null";
    // The first sender's third and fourth message stand behind the other's first.
    assert_eq!(db.text(jobs).await, format!("SM2 SM3 {SID} SM4"));
    let lanes = "select count(distinct lane)::text || bool_and(lane = sender_index)
                 from queue.jobs join pigeonhole.inbound_messages on message_sid = args ->> 'message'";
    assert_eq!(db.text(lanes).await, "2true");
}

#[tokio::test]
async fn a_message_comes_back_as_it_came_and_its_repeat_changes_nothing() {
    let mut db = Db::migrated().await;
    assert!(insert(&mut db, &keyring(), &message(SID)).await);
    let before = db.dump("pigeonhole.inbound_messages").await;
    let mut repeat = message(SID);
    repeat.fields.clear();
    assert!(!insert(&mut db, &keyring(), &repeat).await);
    assert_eq!(db.dump("pigeonhole.inbound_messages").await, before);

    let stored = inbound_messages::load(&mut db, &keyring(), SID)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.message_sid, SID);
    assert_eq!(stored.account_sid, message(SID).account_sid);
    assert_eq!(stored.state, MessageState::Received);
    assert_eq!(stored.fields, Some(message(SID).fields));
}

#[tokio::test]
async fn neither_the_table_nor_debug_shows_the_sender_or_the_text() {
    let mut db = Db::migrated().await;
    insert(&mut db, &keyring(), &message(SID)).await;
    let stored = inbound_messages::load(&mut db, &keyring(), SID)
        .await
        .unwrap()
        .unwrap();
    let table = db
        .text("select encode(sealed, 'escape') || t::text from pigeonhole.inbound_messages t")
        .await;
    for shown in [table, format!("{stored:?} {:?}", message(SID))] {
        assert!(shown.contains(SID));
        assert!(
            !shown.contains("5555550123") && !shown.contains("chess"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_message_moved_to_another_row_does_not_open() {
    let mut db = Db::migrated().await;
    for sid in [SID, "SM2"] {
        insert(&mut db, &keyring(), &message(sid)).await;
    }
    db.run(&format!(
        "update pigeonhole.inbound_messages set sealed =
             (select sealed from pigeonhole.inbound_messages where message_sid = '{SID}')
         where message_sid = 'SM2'"
    ))
    .await;
    let error = inbound_messages::load(&mut db, &keyring(), "SM2")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Open {
                column: "sealed",
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_message_outlives_a_rotation_but_not_its_key() {
    let mut db = Db::migrated().await;
    insert(&mut db, &keyring(), &message(SID)).await;
    let stored = inbound_messages::load(&mut db, &rotated(), SID)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.fields, Some(message(SID).fields));

    let key_gone = Keyring::parse(NEW_KEY, "").unwrap();
    let error = inbound_messages::load(&mut db, &key_gone, SID)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
}

#[tokio::test]
async fn an_erased_message_has_no_fields_and_a_missing_one_is_none() {
    let mut db = Db::migrated().await;
    insert(&mut db, &keyring(), &message(SID)).await;
    db.run("update pigeonhole.inbound_messages set sealed = null")
        .await;
    let stored = inbound_messages::load(&mut db, &keyring(), SID)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.fields, None);

    assert!(
        inbound_messages::load(&mut db, &keyring(), "SM2")
            .await
            .unwrap()
            .is_none()
    );
}
