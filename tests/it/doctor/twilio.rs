//! Faults of the Twilio account and of the settings in its console.

use twilio_simulator::ServiceSettings;

use super::DoctorHarness;
use crate::{process::run, settings::hex};

#[tokio::test]
async fn a_token_refused_by_twilio_is_found_and_an_api_key_secret_is_recognized() {
    let harness = DoctorHarness::start().await;
    let good = harness.settings.get("TWILIO_AUTH_TOKEN").to_owned();
    let harness = harness.with("TWILIO_AUTH_TOKEN", hex());
    harness
        .assert_only(
            "twilio_credentials",
            "fault",
            "code 20003",
            "TWILIO_AUTH_TOKEN",
        )
        .await;
    let harness = harness.with("TWILIO_AUTH_TOKEN", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6");
    harness
        .assert_only(
            "twilio_credentials",
            "fault",
            "secret of an API key",
            "copy the auth token",
        )
        .await;

    // During a rotation, the first token is the one in use.
    let both = format!("{},{good}", hex());
    let harness = harness.with("TWILIO_AUTH_TOKEN", both);
    harness
        .assert_only(
            "twilio_credentials",
            "fault",
            "accepts token number 2",
            "put the accepted token first",
        )
        .await;
    let both = format!("{good},{}", hex());
    let harness = harness.with("TWILIO_AUTH_TOKEN", both);
    harness
        .assert_only(
            "twilio_credentials",
            "warning",
            "number 2",
            "TWILIO_AUTH_TOKENS_RETIRED",
        )
        .await;
    harness.with("TWILIO_AUTH_TOKEN", good).assert_well().await;
}

#[tokio::test]
async fn the_sid_of_another_account_is_found() {
    let harness = DoctorHarness::start()
        .await
        .with("TWILIO_ACCOUNT_SID", format!("AC{}", hex()));
    harness
        .assert_only(
            "twilio_credentials",
            "fault",
            "another account",
            "TWILIO_AUTH_TOKEN",
        )
        .await;
}

#[tokio::test]
async fn the_secondary_token_alone_is_a_fault_because_it_signs_nothing() {
    let secondary = hex();
    let harness = DoctorHarness::without_tables(|account| {
        let also = (account.sid.to_string(), secondary.clone().into());
        account.keys.push(also);
    })
    .await;
    store::migrate(&harness.pool).await.unwrap();
    let primary = harness.settings.get("TWILIO_AUTH_TOKEN").to_owned();
    let harness = harness.with("TWILIO_AUTH_TOKEN", &secondary);
    let faults = |harness: DoctorHarness| async move {
        let diagnosis = harness.doctor(&[]).await;
        (harness, diagnosis)
    };
    let (harness, diagnosis) = faults(harness).await;
    diagnosis.assert_names("twilio_signing", "secondary token", "add the primary");
    let harness = harness.with("TWILIO_AUTH_TOKENS_RETIRED", &primary);
    let (harness, diagnosis) = faults(harness).await;
    diagnosis.assert_names(
        "twilio_signing",
        "among TWILIO_AUTH_TOKENS_RETIRED",
        "move it back",
    );
    let harness = harness
        .with("TWILIO_AUTH_TOKEN", format!("{secondary},{primary}"))
        .with("TWILIO_AUTH_TOKENS_RETIRED", "");
    let (_, diagnosis) = faults(harness).await;
    diagnosis.assert_names(
        "twilio_signing",
        "token number 2 in TWILIO_AUTH_TOKEN is the primary",
        "",
    );
    assert_eq!(diagnosis.bad(), [("workers", "fault")], "{diagnosis:#?}");
}

#[tokio::test]
async fn a_suspended_or_trial_account_is_reported() {
    let harness = DoctorHarness::start().await;
    harness
        .api
        .set(|console| console.account_status = "suspended".to_owned());
    harness
        .assert_only("twilio_account", "fault", "suspended", "console")
        .await;
    harness.api.set(|console| {
        console.account_status = "active".to_owned();
        console.trial = true;
    });
    harness
        .assert_only("twilio_account", "warning", "trial", "upgrade")
        .await;
}

#[tokio::test]
async fn a_number_of_another_account_is_found() {
    let harness = DoctorHarness::start()
        .await
        .with("TWILIO_PHONE_NUMBER", "+12025550111");
    harness
        .assert_only(
            "twilio_number",
            "fault",
            "not one of the account's numbers",
            "Phone Numbers",
        )
        .await;
}

#[tokio::test]
async fn a_number_without_text_messages_is_found() {
    let harness = DoctorHarness::start().await;
    harness.api.set(|console| console.number.sms = false);
    harness
        .assert_only(
            "twilio_number",
            "fault",
            "cannot send or receive",
            "buy a number",
        )
        .await;
}

/// Each fault in the number's settings, alone.
#[tokio::test]
async fn each_fault_in_the_webhook_settings_is_found_and_fixed() {
    let harness = DoctorHarness::start().await;
    let good = harness.api.console().number;
    let fix = "pigeonhole doctor --fix";
    for (check, status) in [
        ("twilio_webhook", "fault"),
        ("twilio_retries", "fault"),
        ("twilio_method", "fault"),
        ("twilio_application", "fault"),
        ("twilio_fallback", "warning"),
    ] {
        harness.api.set(|console| match check {
            "twilio_webhook" => {
                console.number.sms_url = "https://demo.twilio.com/welcome/sms/reply/".to_owned();
            }
            "twilio_retries" => {
                console.number.sms_url = "https://sms.example.com/api/sms/webhook".to_owned();
            }
            "twilio_method" => console.number.sms_method = "GET".to_owned(),
            "twilio_application" => console.number.sms_application_sid = format!("AP{}", hex()),
            _ => {
                console.number.sms_fallback_url = String::new();
                console.number.sms_fallback_method = "GET".to_owned();
            }
        });
        let broken = harness.api.console();
        harness.assert_only(check, status, "", fix).await;

        // The operator does not confirm.
        let ran = run(&["doctor", "--fix"], &harness.settings).await;
        assert!(
            ran.stderr.contains("Nothing was changed") && ran.stderr.contains("--yes"),
            "{ran:?}"
        );
        assert_eq!(harness.api.console(), broken);

        let fixed = harness.doctor(&["--fix", "--yes"]).await;
        assert_eq!((fixed.code, fixed.bad()), (0, vec![]), "{fixed:#?}");
        assert!(
            !fixed.changes.is_empty() && fixed.changes.iter().all(|change| change["done"] == true)
        );
        assert_eq!(harness.api.console().number, good, "{check}");
        harness.assert_well().await;
    }
    let nothing = harness.doctor(&["--fix", "--yes"]).await;
    assert!(nothing.changes.is_empty());
}

#[tokio::test]
async fn planned_changes_are_shown_with_the_old_values() {
    let harness = DoctorHarness::start().await;
    harness
        .api
        .set(|console| console.number.sms_url = "https://example.com/old".to_owned());
    let ran = run(&["doctor", "--fix", "--yes"], &harness.settings).await;
    let shown = "  SmsUrl\n    from  https://example.com/old\n    to    https://sms.example.com/api/sms/webhook#rc=3&rp=all\n";
    assert!(ran.stderr.contains(shown), "{}", ran.stderr);
}

#[tokio::test]
async fn a_messaging_service_that_sends_messages_elsewhere_is_found_and_fixed() {
    let sid = format!("MG{}", hex());
    let harness = DoctorHarness::start()
        .await
        .with("TWILIO_MESSAGING_SERVICE_SID", &sid);
    harness
        .assert_only(
            "twilio_messaging_service",
            "fault",
            "not one of the account's",
            "Messaging, Services",
        )
        .await;

    let set = |change: fn(&mut ServiceSettings)| {
        harness
            .api
            .set(|console| change(console.services.entry(sid.clone()).or_default()));
    };
    set(|service| service.use_inbound_webhook_on_number = true);
    harness
        .assert_only(
            "twilio_messaging_service",
            "warning",
            "not among the senders",
            "sender pool",
        )
        .await;
    set(|service| service.has_number = true);
    harness.assert_well().await;

    set(|service| {
        service.use_inbound_webhook_on_number = false;
        service.inbound_request_url = "https://example.com/".to_owned();
        service.inbound_method = "POST".to_owned();
    });
    let diagnosis = harness.doctor(&[]).await;
    assert_eq!(
        diagnosis.bad(),
        [("twilio_webhook", "fault"), ("twilio_fallback", "warning")]
    );
    diagnosis.assert_names("twilio_webhook", "the messaging service's webhook", "--fix");
    let number = harness.api.console().number;
    let fixed = harness.doctor(&["--fix", "--yes"]).await;
    assert_eq!((fixed.code, fixed.bad()), (0, vec![]), "{fixed:#?}");
    let console = harness.api.console();
    assert_eq!(console.number, number, "the number was left alone");
    let url = "https://sms.example.com/api/sms/webhook#rc=3&rp=all";
    assert_eq!(console.services[&sid].inbound_request_url, url);
}

#[tokio::test]
async fn an_unreachable_twilio_is_a_fault() {
    let harness = DoctorHarness::start()
        .await
        .with("TWILIO_API_BASE_URL", "http://127.0.0.1:9");
    harness
        .assert_only(
            "twilio_credentials",
            "fault",
            "no connection",
            "TWILIO_API_BASE_URL",
        )
        .await;
}
