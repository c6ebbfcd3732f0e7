//! The console's settings, as our client and the control endpoint see them.

use reqwest::Method;
use serde_json::Value;
use twilio::rest::{AccountStatus, AskError};

use super::{OURS, SimulatorHarness, client};
use crate::{settings::hex, webhook};

#[tokio::test]
async fn the_account_and_its_number_are_shown_only_with_valid_credentials() {
    let simulator = SimulatorHarness::start().await;
    let account = simulator.client.account().await.unwrap();
    assert_eq!(account.status, AccountStatus::Active);
    let token = simulator.settings.get("TWILIO_AUTH_TOKEN");
    assert_eq!(account.is_primary(&token.into()), Some(true));
    let number = simulator.client.number(OURS).await.unwrap().unwrap();
    assert_eq!(number.inbound.method, "POST");
    assert!(number.inbound.url.ends_with("/api/sms/webhook#rc=3&rp=all"));
    // A prefix of the number does not match.
    assert!(
        simulator
            .client
            .number("+1500555000")
            .await
            .unwrap()
            .is_none()
    );

    let base = simulator.settings.get("TWILIO_API_BASE_URL");
    let wrong = client(base, &simulator.settings, "wrong");
    for error in [
        wrong.account().await.unwrap_err(),
        wrong.number(OURS).await.unwrap_err(),
        wrong.service("MGx").await.unwrap_err(),
    ] {
        let refused = matches!(
            error,
            AskError::Refused {
                status: 401,
                code: Some(20003),
                ..
            }
        );
        assert!(refused, "{error:?}");
    }
    let other = simulator
        .settings
        .clone()
        .with("TWILIO_ACCOUNT_SID", format!("AC{}", hex()));
    let other = client(base, &other, token).account().await.unwrap_err();
    assert!(
        matches!(other, AskError::Refused { status: 401, .. }),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_number_update_changes_only_named_fields_and_refuses_invalid_urls() {
    let simulator = SimulatorHarness::start().await;
    let sid = simulator.client.number(OURS).await.unwrap().unwrap().sid;
    let before = simulator.api.console().number;
    let change = [("SmsFallbackUrl", "https://b.example.com/".to_owned())];
    simulator.client.change_number(&sid, &change).await.unwrap();
    let after = simulator.api.console().number;
    assert_eq!(after.sms_fallback_url, "https://b.example.com/");
    assert_eq!(after.sms_url, before.sms_url);
    let wrong = [("SmsUrl", "nowhere".to_owned())];
    let error = simulator
        .client
        .change_number(&sid, &wrong)
        .await
        .unwrap_err();
    let refused = matches!(
        error,
        AskError::Refused {
            status: 400,
            code: Some(21502),
            ..
        }
    );
    assert!(refused, "{error:?}");
    let nobodys = format!("PN{}", hex()).parse().unwrap();
    let error = simulator
        .client
        .change_number(&nobodys, &change)
        .await
        .unwrap_err();
    assert_eq!(error, AskError::NotThere);
}

#[tokio::test]
async fn the_console_is_set_over_http() {
    let simulator = SimulatorHarness::start().await;
    let url = format!(
        "{}/simulated/console",
        simulator.settings.get("TWILIO_API_BASE_URL")
    );
    let request = |method| webhook::client().request(method, &url);
    let shown = request(Method::GET).send().await.unwrap();
    let mut console: Value = serde_json::from_str(&shown.text().await.unwrap()).unwrap();
    console["account_status"] = "suspended".into();
    let put = async |body: String| {
        let answer = request(Method::PUT).body(body).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(put(console.to_string()).await, 204);
    let account = simulator.client.account().await.unwrap();
    assert_eq!(account.status, AccountStatus::Suspended);
    console["surprise"] = 1.into();
    assert_eq!(put(console.to_string()).await, 400);
}
