//! Missing keys, and keys that are not needed any more.

use store::{E164, users};
use uuid::Uuid;

use super::DoctorHarness;
use crate::{
    process::run,
    settings::{ProgramSettings, key},
};

async fn link(harness: &DoctorHarness, settings: &ProgramSettings, number: &str) {
    let mut conn = harness.pool.acquire().await.unwrap();
    let user = Uuid::new_v4();
    users::ensure(&mut conn, user).await.unwrap();
    let number = E164::parse(number).unwrap();
    store::user_phone_numbers::link(&mut conn, &settings.keyring(), user, &number)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_missing_key_is_found_and_a_needed_old_key_is_named() {
    let harness = DoctorHarness::start().await;
    let old = harness.settings.get("ENCRYPTION_KEY").to_owned();
    link(&harness, &harness.settings, "+12025550123").await;
    harness.assert_well().await;

    let harness = harness.with("ENCRYPTION_KEY", key());
    harness
        .assert_only(
            "keys",
            "fault",
            "values (1 of user_phone_numbers.encrypted_phone_number) were sealed with key",
            "ENCRYPTION_KEYS_OLD",
        )
        .await;

    let harness = harness.with("ENCRYPTION_KEYS_OLD", format!("{old},{}", key()));
    harness.assert_well().await;
    let diagnosis = harness.doctor(&[]).await;
    diagnosis.assert_names("older_keys", "is needed: 1 values", "");
    diagnosis.assert_names("older_keys", "has no values left; you can remove it", "");
    harness
        .sql("insert into pigeonhole.opt_outs values ('x', true, now(), 'keyword')")
        .await;
    let diagnosis = harness.doctor(&[]).await;
    diagnosis.assert_names("older_keys", "opt-outs (STOP)", "");
}

#[tokio::test]
async fn a_value_moved_to_another_row_is_found() {
    let harness = DoctorHarness::start().await;
    link(&harness, &harness.settings, "+12025550123").await;
    harness
        .sql("update user_phone_numbers set id = gen_random_uuid()")
        .await;
    harness
        .assert_only(
            "keys",
            "fault",
            "do not open, although their key is configured",
            "backup",
        )
        .await;
}

#[tokio::test]
async fn the_doctor_checks_every_column_with_sealed_values() {
    let harness = DoctorHarness::start().await;
    // Sealed with an unknown key: version 1, key 01020304.
    harness
        .sql(
            r#"
        insert into users values ('00000000-0000-4000-8000-000000000001');
        insert into pigeonhole.inbound_messages (message_sid, account_sid, sender_index, sealed)
            values ('SM1', 'AC1', 'x', '\x010102030405');
        insert into pigeonhole.sends (id, user_id, purpose, recipient_index, sealed, expires_at)
            select gen_random_uuid(), id, 'verification', 'x', '\x010102030405', now() from users;
        insert into pigeonhole.media (id, message_sid, user_id, position, object_key, sealed_key)
            select gen_random_uuid(), 'SM1', id, 0, 'k', '\x010102030405' from users;
        insert into pigeonhole.pending_verifications
            (user_id, number_index, sealed_number, sealed_code, code_expires_at)
            select id, 'x', '\x010102030405', '\x010102030405', now() from users;
        insert into pigeonhole.idempotency_keys (user_id, key_index, fingerprint, sealed_body)
            select id, 'x', 'x', '\x010102030405' from users;
        insert into user_phone_numbers (user_id, phone_number, encrypted_phone_number)
            select id, 'abcdefghijklmnopqrst', 'AQECAwQFAAAA' from users;
        insert into enrichment_items (user_id, item_type, action, value, source_metadata)
            select id, 'tag', 'add', 'x', '{"phone_number": "AQECAwQFAAAA"}' from users;
        "#,
        )
        .await;
    let diagnosis = harness.doctor(&[]).await;
    for place in [
        "user_phone_numbers.encrypted_phone_number",
        "pigeonhole.inbound_messages.sealed",
        "pigeonhole.sends.sealed",
        "pigeonhole.media.sealed_key",
        "pigeonhole.pending_verifications.sealed_number",
        "pigeonhole.pending_verifications.sealed_code",
        "pigeonhole.idempotency_keys.sealed_body",
        "enrichment_items.source_metadata.phone_number",
    ] {
        diagnosis.assert_names("keys", &format!("1 of {place}"), "ENCRYPTION_KEYS_OLD");
        diagnosis.assert_names("keys", "key 01020304,", "ENCRYPTION_KEYS_OLD");
    }
}

#[tokio::test]
async fn numbers_stored_in_clear_are_a_warning_that_a_command_fixes() {
    let harness = DoctorHarness::start().await;
    harness
        .sql(
            "insert into users values ('00000000-0000-4000-8000-000000000001');
         insert into user_phone_numbers (user_id, phone_number, encrypted_phone_number)
         select id, '+12025550123', 'of the app' from users",
        )
        .await;
    let mend = "pigeonhole phone-numbers seal";
    harness
        .assert_only("clear_numbers", "warning", "1 phone numbers", mend)
        .await;
    let ran = run(&["phone-numbers", "seal"], &harness.settings).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    harness.assert_well().await;
}
