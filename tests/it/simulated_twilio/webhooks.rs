//! Webhooks that fail: Twilio's tries, and the alerts that remain.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, http::StatusCode};
use chrono::TimeDelta;
use twilio::rest::WebhookAlert;
use twilio_simulator::{ApiConditions, SimulatorError, WebhookFate, WebhookResult, WebhookSender};

use super::{ANA, FakeTwilio, SimulatorHarness, client};
use crate::{
    app::{field, text},
    wait::{PATIENCE, eventually},
};

const FAILED: WebhookResult = WebhookResult::Failed { error_code: 11200 };

/// A receiver with these answers, one after the other; the last one stays. Also returns how many
/// requests it got.
async fn receiver(
    simulator: &SimulatorHarness,
    answers: &'static [u16],
) -> (WebhookSender, FakeTwilio, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let fake = FakeTwilio::answering(Router::new().fallback(async move || {
        let at = counted
            .fetch_add(1, Ordering::SeqCst)
            .min(answers.len() - 1);
        StatusCode::from_u16(answers[at]).unwrap()
    }))
    .await;
    (simulator.api.webhook_sender(&fake.base), fake, requests)
}

/// The alerts around now, by the clock of the simulated Twilio.
async fn alerts(simulator: &SimulatorHarness) -> Vec<WebhookAlert> {
    let now = simulator.api.received()[0].at;
    let hour = TimeDelta::hours(1);
    simulator
        .client
        .webhook_alerts(now - hour, now + hour)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_webhook_is_tried_as_its_overrides_say_and_no_longer() {
    let simulator = SimulatorHarness::start().await;
    let (sender, _fake, requests) = receiver(&simulator, &[503, 503, 200]).await;
    let sent = sender.send(&text(ANA, "third time lucky")).await;
    assert_eq!((sent.tries, sent.result), (3, WebhookResult::Delivered));
    assert_eq!(sent.status, Some(200));
    assert_eq!(requests.load(Ordering::SeqCst), 3);

    let (sender, _fake, requests) = receiver(&simulator, &[503]).await;
    let sent = sender.send(&text(ANA, "four tries")).await;
    assert_eq!((sent.tries, sent.result), (4, FAILED));
    assert_eq!(requests.load(Ordering::SeqCst), 4);

    // Without overrides, an answer is final.
    simulator.api.set(|console| {
        let url = console.number.sms_url.split_once('#').unwrap().0.to_owned();
        console.number.sms_url = url;
    });
    let sent = sender.send(&text(ANA, "one try")).await;
    assert_eq!((sent.tries, sent.result), (1, FAILED));
    let nobody = simulator.api.webhook_sender("http://127.0.0.1:9");
    let sent = nobody.send(&text(ANA, "two tries")).await;
    assert_eq!(sent.tries, 2);
    assert_eq!(sent.result, WebhookResult::Failed { error_code: 11205 });

    let seen = simulator.api.received();
    let results: Vec<_> = seen.iter().map(|text| (text.tries, text.webhook)).collect();
    let no_connection = WebhookResult::Failed { error_code: 11205 };
    assert_eq!(
        results,
        [
            (3, WebhookResult::Delivered),
            (4, FAILED),
            (1, FAILED),
            (2, no_connection)
        ]
    );
}

#[tokio::test]
async fn a_failed_webhook_makes_an_alert_with_its_parameters_as_they_were_sent() {
    let simulator = SimulatorHarness::start().await;
    let (sender, _fake, _) = receiver(&simulator, &[200, 500]).await;
    sender.send(&text(ANA, "it arrives")).await;
    assert!(alerts(&simulator).await.is_empty());

    let lost = twilio_simulator::InboundText {
        media: vec!["image/png".to_owned()],
        fields: vec![field("FromCity", "SAN FRANCISCO"), field("Zoë", "ü & + =")],
        ..text(ANA, "Grüße & \u{1f44b}\n100% +1")
    };
    let sent = sender.send(&lost).await;
    let found = alerts(&simulator).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message.as_str(), sent.message_sid);
    assert_eq!(found[0].error_code, 11200);
    let parameters = simulator
        .client
        .webhook_parameters(&found[0])
        .await
        .unwrap();
    let taken = simulator.api.received().pop().unwrap();
    assert_eq!(parameters, Some(taken.parameters));

    let unknown = WebhookAlert {
        sid: format!("NO{}", "0".repeat(32)),
        ..found[0].clone()
    };
    let parameters = simulator.client.webhook_parameters(&unknown).await;
    assert_eq!(
        parameters,
        Ok(None),
        "Twilio keeps alerts for a limited time"
    );
}

#[tokio::test]
async fn an_alert_appears_later_than_the_failure_or_not_at_all() {
    let simulator = SimulatorHarness::start().await;
    let (sender, _fake, _) = receiver(&simulator, &[500]).await;
    simulator
        .api
        .set_conditions(|conditions| conditions.alert_delay_ms = 400);
    sender.send(&text(ANA, "late")).await;
    assert!(alerts(&simulator).await.is_empty());
    eventually("the alert appears", PATIENCE, async || {
        (alerts(&simulator).await.len() == 1).then_some(())
    })
    .await;

    simulator
        .api
        .set_conditions(|conditions| conditions.without_alerts = true);
    sender.send(&text(ANA, "never")).await;
    simulator
        .api
        .set_conditions(|conditions| *conditions = ApiConditions::default());
    sender.send(&text(ANA, "at once")).await;
    assert_eq!(alerts(&simulator).await.len(), 2);
}

#[tokio::test]
async fn many_alerts_are_read_page_by_page() {
    let simulator = SimulatorHarness::start().await;
    let some_time = super::long_ago();
    for n in 0..1200 {
        simulator
            .api
            .take_lost(&text(ANA, &n.to_string()), some_time);
    }
    let from = some_time - TimeDelta::hours(1);
    let until = from + TimeDelta::days(36_500);
    let found = simulator.client.webhook_alerts(from, until).await.unwrap();
    assert_eq!(found.len(), 1200);
    assert_eq!(simulator.api.requests().alerts, 2);
    let early = simulator.client.webhook_alerts(from, some_time).await;
    assert_eq!(early, Ok(vec![]), "alerts have the time of the failure");
}

#[tokio::test]
async fn a_lost_webhook_reaches_nobody_and_its_message_is_taken() {
    let simulator = SimulatorHarness::start().await;
    let (sender, _fake, requests) = receiver(&simulator, &[200]).await;
    let lose = WebhookFate::Lose { error_code: 11210 };
    simulator
        .api
        .set_conditions(|conditions| conditions.webhooks = lose);
    let sent = sender.send(&text(ANA, "lost")).await;
    assert_eq!(sent.result, WebhookResult::Failed { error_code: 11210 });
    let error = sender.deliver(&text(ANA, "lost, too")).await.unwrap_err();
    assert!(
        matches!(error, SimulatorError::WebhookLost { .. }),
        "{error}"
    );
    assert_eq!(requests.load(Ordering::SeqCst), 0);
    let codes: Vec<_> = alerts(&simulator)
        .await
        .iter()
        .map(|a| a.error_code)
        .collect();
    assert_eq!(codes, [11210, 11210]);

    simulator
        .api
        .set_conditions(|conditions| conditions.webhooks = WebhookFate::Deliver);
    sender.deliver(&text(ANA, "it arrives")).await.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    assert_eq!(simulator.api.received().len(), 3);
}

#[tokio::test]
async fn another_process_can_have_a_text_taken_and_change_the_conditions() {
    let simulator = SimulatorHarness::start().await;
    let base = simulator.settings.get("TWILIO_API_BASE_URL");
    let url = base.parse().unwrap();
    let lost = text(ANA, "from another process");
    let sid = twilio_simulator::take_lost_text(&url, &lost).await.unwrap();
    assert_eq!(simulator.api.received()[0].sid, sid);
    assert_eq!(simulator.api.received()[0].webhook, FAILED);

    let (_, fake, requests) = receiver(&simulator, &[200]).await;
    simulator.api.connect(&fake.base);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = r#"{"from": "+12025550123", "body": "it arrives"}"#;
    let answer = http
        .post(format!("{base}/simulated/texts"))
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    eventually("the webhook arrives", PATIENCE, async || {
        let delivered = simulator.api.received().pop()?.webhook == WebhookResult::Delivered;
        delivered.then_some(())
    })
    .await;
    assert_eq!(requests.load(Ordering::SeqCst), 1);

    let put = async |body: &'static str| {
        let request = http.put(format!("{base}/simulated/conditions")).body(body);
        request.send().await.unwrap().status()
    };
    assert_eq!(
        put(r#"{"webhooks": {"lose": {"error_code": 11205}}}"#).await,
        204
    );
    let losing = WebhookFate::Lose { error_code: 11205 };
    assert_eq!(simulator.api.conditions().webhooks, losing);
    assert_eq!(put(r#"{"webhook": "deliver"}"#).await, 400);

    let elsewhere = "https://api.twilio.com".parse().unwrap();
    let refused = twilio_simulator::take_lost_text(&elsewhere, &lost).await;
    assert!(matches!(refused, Err(SimulatorError::NotSimulated)));
    // Its API asks for credentials, unlike these routes.
    let wrong = client(base, &simulator.settings, "wrong");
    assert!(
        wrong
            .webhook_alerts(super::long_ago(), super::long_ago())
            .await
            .is_err()
    );
}
