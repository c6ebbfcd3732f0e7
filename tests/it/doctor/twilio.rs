//! The account, and what is set in Twilio's console.

use pigeonhole::dev::twilio::ServiceSettings;

use super::Rig;
use crate::{process::run, settings::hex};

#[tokio::test]
async fn a_token_that_twilio_does_not_take_is_found_and_an_api_keys_secret_called_by_its_name() {
    let rig = Rig::start().await;
    let good = rig.settings.get("TWILIO_AUTH_TOKEN").to_owned();
    let rig = rig.with("TWILIO_AUTH_TOKEN", hex());
    rig.assert_only(
        "twilio_credentials",
        "fault",
        "code 20003",
        "TWILIO_AUTH_TOKEN",
    )
    .await;
    let rig = rig.with("TWILIO_AUTH_TOKEN", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6");
    rig.assert_only(
        "twilio_credentials",
        "fault",
        "secret of an API key",
        "copy the auth token",
    )
    .await;

    // While rotating: the first is the one that is used.
    let both = format!("{},{good}", hex());
    let rig = rig.with("TWILIO_AUTH_TOKEN", both);
    rig.assert_only(
        "twilio_credentials",
        "fault",
        "takes number 2",
        "put the one that is taken first",
    )
    .await;
    let both = format!("{good},{}", hex());
    let rig = rig.with("TWILIO_AUTH_TOKEN", both);
    rig.assert_only(
        "twilio_credentials",
        "warning",
        "number 2",
        "TWILIO_AUTH_TOKENS_RETIRED",
    )
    .await;
    rig.with("TWILIO_AUTH_TOKEN", good).assert_well().await;
}

#[tokio::test]
async fn another_accounts_sid_is_found() {
    let rig = Rig::start()
        .await
        .with("TWILIO_ACCOUNT_SID", format!("AC{}", hex()));
    rig.assert_only(
        "twilio_credentials",
        "fault",
        "another account's",
        "TWILIO_AUTH_TOKEN",
    )
    .await;
}

#[tokio::test]
async fn the_secondary_token_alone_is_a_fault_as_it_signs_nothing() {
    let secondary = hex();
    let rig = Rig::without_tables(|account| {
        let also = (account.sid.to_string(), secondary.clone().into());
        account.keys.push(also);
    })
    .await;
    store::migrate(&rig.pool).await.unwrap();
    let primary = rig.settings.get("TWILIO_AUTH_TOKEN").to_owned();
    let rig = rig.with("TWILIO_AUTH_TOKEN", &secondary);
    let faults = |rig: Rig| async move {
        let diagnosis = rig.doctor(&[]).await;
        (rig, diagnosis)
    };
    let (rig, diagnosis) = faults(rig).await;
    diagnosis.assert_names("twilio_signing", "secondary token", "add the primary");
    let rig = rig.with("TWILIO_AUTH_TOKENS_RETIRED", &primary);
    let (rig, diagnosis) = faults(rig).await;
    diagnosis.assert_names(
        "twilio_signing",
        "among TWILIO_AUTH_TOKENS_RETIRED",
        "move it back",
    );
    let rig = rig
        .with("TWILIO_AUTH_TOKEN", format!("{secondary},{primary}"))
        .with("TWILIO_AUTH_TOKENS_RETIRED", "");
    let (_, diagnosis) = faults(rig).await;
    diagnosis.assert_names(
        "twilio_signing",
        "number 2 of TWILIO_AUTH_TOKEN is the primary",
        "",
    );
    assert_eq!(diagnosis.bad(), [("workers", "fault")], "{diagnosis:#?}");
}

#[tokio::test]
async fn a_suspended_or_trial_account_is_told() {
    let rig = Rig::start().await;
    rig.api
        .set(|console| console.account_status = "suspended".to_owned());
    rig.assert_only("twilio_account", "fault", "suspended", "console")
        .await;
    rig.api.set(|console| {
        console.account_status = "active".to_owned();
        console.trial = true;
    });
    rig.assert_only("twilio_account", "warning", "trial", "upgrade")
        .await;
}

#[tokio::test]
async fn a_number_that_is_not_the_accounts_is_found() {
    let rig = Rig::start()
        .await
        .with("TWILIO_PHONE_NUMBER", "+12025550111");
    rig.assert_only(
        "twilio_number",
        "fault",
        "not one of the account's numbers",
        "Phone Numbers",
    )
    .await;
}

#[tokio::test]
async fn a_number_without_text_messages_is_found() {
    let rig = Rig::start().await;
    rig.api.set(|console| console.number.sms = false);
    rig.assert_only(
        "twilio_number",
        "fault",
        "cannot send or receive",
        "buy one",
    )
    .await;
}

/// Each thing that can be wrong with the number's settings, alone.
#[tokio::test]
async fn what_is_wrong_with_the_webhook_is_found_and_fixed() {
    let rig = Rig::start().await;
    let good = rig.api.console().number;
    let fix = "pigeonhole doctor --fix";
    for (check, status) in [
        ("twilio_webhook", "fault"),
        ("twilio_retries", "fault"),
        ("twilio_method", "fault"),
        ("twilio_application", "fault"),
        ("twilio_fallback", "warning"),
    ] {
        rig.api.set(|console| match check {
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
        let broken = rig.api.console();
        rig.assert_only(check, status, "", fix).await;

        // Nobody agrees.
        let ran = run(&["doctor", "--fix"], &rig.settings).await;
        assert!(
            ran.stderr.contains("Nothing was changed") && ran.stderr.contains("--yes"),
            "{ran:?}"
        );
        assert_eq!(rig.api.console(), broken);

        let fixed = rig.doctor(&["--fix", "--yes"]).await;
        assert_eq!((fixed.code, fixed.bad()), (0, vec![]), "{fixed:#?}");
        assert!(
            !fixed.changes.is_empty() && fixed.changes.iter().all(|change| change["done"] == true)
        );
        assert_eq!(rig.api.console().number, good, "{check}");
        rig.assert_well().await;
    }
    let nothing = rig.doctor(&["--fix", "--yes"]).await;
    assert!(nothing.changes.is_empty());
}

#[tokio::test]
async fn what_is_to_change_is_shown_with_what_it_was() {
    let rig = Rig::start().await;
    rig.api
        .set(|console| console.number.sms_url = "https://example.com/old".to_owned());
    let ran = run(&["doctor", "--fix", "--yes"], &rig.settings).await;
    let shown = "  SmsUrl\n    from  https://example.com/old\n    to    https://sms.example.com/api/sms/webhook#rc=3&rp=all\n";
    assert!(ran.stderr.contains(shown), "{}", ran.stderr);
}

#[tokio::test]
async fn a_messaging_service_that_has_messages_go_elsewhere_is_found_and_fixed() {
    let sid = format!("MG{}", hex());
    let rig = Rig::start()
        .await
        .with("TWILIO_MESSAGING_SERVICE_SID", &sid);
    rig.assert_only(
        "twilio_messaging_service",
        "fault",
        "not one of the account's",
        "Messaging, Services",
    )
    .await;

    let set = |change: fn(&mut ServiceSettings)| {
        rig.api
            .set(|console| change(console.services.entry(sid.clone()).or_default()));
    };
    set(|service| service.use_inbound_webhook_on_number = true);
    rig.assert_only(
        "twilio_messaging_service",
        "warning",
        "not among the senders",
        "sender pool",
    )
    .await;
    set(|service| service.has_number = true);
    rig.assert_well().await;

    set(|service| {
        service.use_inbound_webhook_on_number = false;
        service.inbound_request_url = "https://example.com/".to_owned();
        service.inbound_method = "POST".to_owned();
    });
    let diagnosis = rig.doctor(&[]).await;
    assert_eq!(
        diagnosis.bad(),
        [("twilio_webhook", "fault"), ("twilio_fallback", "warning")]
    );
    diagnosis.assert_names("twilio_webhook", "the messaging service's webhook", "--fix");
    let number = rig.api.console().number;
    let fixed = rig.doctor(&["--fix", "--yes"]).await;
    assert_eq!((fixed.code, fixed.bad()), (0, vec![]), "{fixed:#?}");
    let console = rig.api.console();
    assert_eq!(console.number, number, "the number was left alone");
    let url = "https://sms.example.com/api/sms/webhook#rc=3&rp=all";
    assert_eq!(console.services[&sid].inbound_request_url, url);
}

#[tokio::test]
async fn a_twilio_that_cannot_be_reached_is_a_fault() {
    let rig = Rig::start()
        .await
        .with("TWILIO_API_BASE_URL", "http://127.0.0.1:9");
    rig.assert_only(
        "twilio_credentials",
        "fault",
        "no connection",
        "TWILIO_API_BASE_URL",
    )
    .await;
}
