//! Faults in the settings and in the local files that they name.

use std::fs;

use super::{DoctorHarness, DoctorReport};
use crate::settings::ProgramSettings;

#[tokio::test]
async fn every_mistake_in_the_settings_is_named_and_the_other_checks_still_run() {
    let diagnosis = DoctorReport::of(&ProgramSettings::none(), &[]).await;
    for name in [
        "DATABASE_URL",
        "ENCRYPTION_KEY",
        "TWILIO_ACCOUNT_SID",
        "PUBLIC_BASE_URL",
    ] {
        diagnosis.assert_names(
            "configuration",
            &format!("{name} is not set"),
            ".env.example",
        );
    }
    assert_eq!(diagnosis.code, 1);

    let harness = DoctorHarness::start().await.with("EXTRACTOR", "gemini");
    let diagnosis = harness.doctor(&[]).await;
    assert_eq!(
        diagnosis.bad(),
        [("configuration", "fault"), ("model", "unchecked")]
    );
    diagnosis.assert_names("configuration", "GOOGLE_GEMINI_API_KEY is not set", ".env");
    harness
        .with("GOOGLE_GEMINI_API_KEY", "a-key-of-a-model")
        .assert_well()
        .await;
}

#[tokio::test]
async fn an_api_key_sid_in_place_of_the_auth_token_is_named() {
    let harness = DoctorHarness::start().await;
    let harness = harness.with("TWILIO_AUTH_TOKEN", "SK0123456789abcdef0123456789abcdef");
    let diagnosis = harness.doctor(&[]).await;
    diagnosis.assert_names(
        "configuration",
        "TWILIO_AUTH_TOKEN is the SID of an API key",
        ".env",
    );
    assert_eq!(diagnosis.code, 1);
}

#[tokio::test]
async fn a_public_url_without_tls_is_a_warning() {
    let harness = DoctorHarness::start().await;
    let webhook = "http://sms.example.com/api/sms/webhook#rc=3&rp=all";
    harness.api.set(|console| {
        console.number.sms_url = webhook.to_owned();
        console.number.sms_fallback_url = webhook.to_owned();
    });
    let harness = harness.with("PUBLIC_BASE_URL", "http://sms.example.com");
    harness
        .assert_only("public_url", "warning", "unencrypted", "https://")
        .await;
}

#[tokio::test]
async fn an_unwritable_media_store_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("media");
    fs::write(&file, "in the way").unwrap();
    let url = url::Url::from_file_path(&file).unwrap();
    let harness = DoctorHarness::start()
        .await
        .with("MEDIA_STORE", url.as_str());
    harness
        .assert_only("media_store", "fault", "cannot be used", "MEDIA_STORE")
        .await;
    let receiver = harness.doctor(&["--process", "receiver"]).await;
    assert_eq!(receiver.code, 0, "a receiver needs none: {receiver:#?}");
    fs::remove_file(&file).unwrap();
    harness.assert_well().await;
    let left = fs::read_dir(file.join("doctor")).unwrap().count();
    assert_eq!(left, 0, "the trial object is deleted");
}
