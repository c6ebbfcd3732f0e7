use store::enrichment_items::{self, ItemType, NewItem, Origin, Source, item_id};
use store::{Context, StoreError, migrate};
use uuid::Uuid;

use crate::support::{APP, Db, app_user, keyring};

const SID: &str = "MM00000000000000000000000000000001";

fn origin(user_id: Uuid, source: Source) -> Origin {
    Origin {
        user_id,
        message_sid: SID.to_owned(),
        phone_number: "+15555550123".to_owned(),
        original_message: Some("met Ada".to_owned()),
        source,
    }
}

fn items() -> Vec<NewItem> {
    let item = |position, item_type, field_name: Option<&str>, value: &str| NewItem {
        id: item_id(SID, position),
        item_type,
        field_name: field_name.map(str::to_owned),
        value: value.to_owned(),
    };
    vec![
        item(0, ItemType::Field, None, r#"{"name":"Ada","context":""}"#),
        item(1, ItemType::Field, Some("location"), "Lisbon"),
        item(2, ItemType::Tag, None, "chess"),
    ]
}

#[tokio::test]
async fn items_stand_in_the_table_as_the_app_reads_them() {
    let mut db = Db::migrated().await;
    let origin = origin(
        db.user().await,
        Source::Mms {
            media_type: "image/jpeg".to_owned(),
        },
    );
    let new = enrichment_items::insert(&mut db, &keyring(), &origin, &items())
        .await
        .unwrap();
    assert_eq!(new, 3);
    let rows = db
        .text(
            "select string_agg(concat_ws('|', item_type, action, coalesce(field_name, '-'), value, accepted, applied,
                 status, source, source_metadata - 'phone_number'), E'\\n' order by value) from enrichment_items",
        )
        .await;
    let metadata = format!(
        r#"{{"media_type": "image/jpeg", "message_sid": "{SID}", "original_message": "met Ada"}}"#
    );
    let expected = [
        r#"field|add|-|{"name":"Ada","context":""}|f|f|pending|mms|"#,
        "field|add|location|Lisbon|f|f|pending|mms|",
        "tag|add|-|chess|f|f|pending|mms|",
    ];
    for row in expected {
        assert!(rows.contains(&format!("{row}{metadata}")), "{rows}");
    }
}

#[tokio::test]
async fn the_sender_of_an_item_is_sealed_for_that_item_alone() {
    let mut db = Db::migrated().await;
    let mut origin = origin(db.user().await, Source::Sms);
    origin.original_message = None;
    enrichment_items::insert(&mut db, &keyring(), &origin, &items())
        .await
        .unwrap();
    assert!(!db.dump("enrichment_items").await.contains("5555550123"));
    assert!(!db.dump("enrichment_items").await.contains("media_type"));

    let sealed = db
        .text(&format!(
            "select source_metadata ->> 'phone_number' from enrichment_items where id = '{}'",
            item_id(SID, 1)
        ))
        .await;
    let open = |position| {
        let context = Context::new(
            "enrichment_items",
            "source_metadata.phone_number",
            item_id(SID, position),
        );
        keyring().open_text(&context, &sealed)
    };
    assert_eq!(open(1).unwrap(), "+15555550123");
    assert!(open(2).is_err());
}

#[tokio::test]
async fn writing_items_again_leaves_what_the_user_did_to_them() {
    let mut db = Db::migrated().await;
    let origin = origin(db.user().await, Source::Sms);
    enrichment_items::insert(&mut db, &keyring(), &origin, &items())
        .await
        .unwrap();
    db.run("update enrichment_items set accepted = true, value = 'Porto' where value = 'Lisbon'")
        .await;
    let before = db.dump("enrichment_items").await;
    let new = enrichment_items::insert(&mut db, &keyring(), &origin, &items())
        .await
        .unwrap();
    assert_eq!(new, 0);
    assert_eq!(db.dump("enrichment_items").await, before);
    assert_eq!(
        enrichment_items::insert(&mut db, &keyring(), &origin, &[])
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn items_go_into_the_tables_of_the_app_too() {
    let mut db = Db::app(&[APP]).await;
    migrate(&db.pool).await.unwrap();
    let origin = origin(app_user(1), Source::Sms);
    let new = enrichment_items::insert(&mut db, &keyring(), &origin, &items())
        .await
        .unwrap();
    assert_eq!(new, 3);
}

#[tokio::test]
async fn items_of_a_user_who_is_gone_are_refused_by_name() {
    let mut db = Db::migrated().await;
    let origin = origin(Uuid::new_v4(), Source::Sms);
    let error = enrichment_items::insert(&mut db, &keyring(), &origin, &items())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::UserGone {
                table: "enrichment_items"
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_error_of_the_database_does_not_quote_the_row() {
    let mut db = Db::migrated().await;
    db.run("alter table enrichment_items add check (value <> 'chess')")
        .await;
    let origin = origin(db.user().await, Source::Sms);
    let error = enrichment_items::insert(&mut db, &keyring(), &origin, &items())
        .await
        .unwrap_err();
    let StoreError::Database(inner) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(inner.code().as_deref(), Some("23514"));
    let shown = format!(
        "{error:?} {error} {inner:?} {inner} {origin:?} {:?}",
        items()
    );
    assert!(
        !shown.contains("chess") && !shown.contains("met Ada") && !shown.contains("5555550123"),
        "{shown}"
    );
}

#[tokio::test]
async fn an_error_of_the_apps_own_trigger_does_not_quote_the_row_either() {
    let mut db = Db::migrated().await;
    db.run(
        "create function refuse() returns trigger language plpgsql as
             $$ begin raise exception 'no: %', new.value; end $$",
    )
    .await;
    db.run(
        "create trigger refuse before insert on enrichment_items for each row execute function refuse()",
    )
    .await;
    let origin = origin(db.user().await, Source::Sms);
    let error = enrichment_items::insert(&mut db, &keyring(), &origin, &items())
        .await
        .unwrap_err();
    let StoreError::Database(inner) = &error else {
        panic!("{error:?}")
    };
    let shown = format!("{error:?} {error} {inner:?} {inner}");
    assert!(shown.contains("SQLSTATE P0001"), "{shown}");
    assert!(
        !shown.contains("met Ada") && !shown.contains("no: "),
        "{shown}"
    );
}

#[test]
fn the_id_of_an_item_never_changes_and_differs_by_message_and_position() {
    assert_eq!(
        item_id(SID, 0).to_string(),
        "463af70d-b2a3-55f6-869f-4a6feb43f25b"
    );
    let ids = [
        item_id(SID, 0),
        item_id(SID, 1),
        item_id("MM2", 0),
        item_id("MM2", 1),
    ];
    for (i, id) in ids.iter().enumerate() {
        assert!(!ids[..i].contains(id));
    }
}
