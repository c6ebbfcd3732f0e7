//! Status callbacks: signed for the public URL, and sent in the requested order. The list agrees
//! with them.

use axum::{body::to_bytes, extract::Request};
use tokio::sync::mpsc;
use twilio::{
    form,
    rest::{OutboundMessage, Sender},
    signature::{self, AuthTokens, Body, Validator},
    status::{StatusCallback, reason},
};
use twilio_simulator::{Callbacks, SendAnswer};

use super::{ANA, FakeTwilio, SimulatorHarness, long_ago, soon};
use crate::settings::PUBLIC_BASE_URL;

/// Checks the callback's signature and parses it.
async fn check(simulator: &SimulatorHarness, request: Request) -> (String, StatusCallback) {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 64 * 1024).await.unwrap();
    let fields = form::parse(&body, 200).unwrap();
    let uri = head.uri.to_string();
    let token = simulator.settings.get("TWILIO_AUTH_TOKEN").into();
    let validator = Validator::new(&AuthTokens::new(vec![token]).unwrap());
    let url = format!("{PUBLIC_BASE_URL}{uri}");
    let given = head.headers[signature::HEADER].as_bytes();
    let form = Body::Form(&fields);
    assert_eq!(validator.check(&url, form, given), Ok(()));
    let moved = format!("{url}x");
    assert!(validator.check(&moved, form, given).is_err());
    (uri, StatusCallback::from_fields(&fields).unwrap())
}

/// An API that is connected to a receiver, which passes its requests to the test.
async fn connected() -> (
    SimulatorHarness,
    FakeTwilio,
    mpsc::UnboundedReceiver<Request>,
) {
    let simulator = SimulatorHarness::start().await;
    let (receiver, shown) = FakeTwilio::showing(|| "").await;
    simulator.api.connect(&receiver.base);
    (simulator, receiver, shown)
}

fn sequence(statuses: &[&str], before_answer: bool) -> Callbacks {
    Callbacks::Sequence {
        statuses: statuses.iter().map(|&status| status.to_owned()).collect(),
        error_code: None,
        before_answer,
    }
}

async fn statuses(
    simulator: &SimulatorHarness,
    shown: &mut mpsc::UnboundedReceiver<Request>,
    count: usize,
) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        let (_, callback) = check(simulator, soon(shown.recv()).await.unwrap()).await;
        told.push(callback.status.to_string());
    }
    told
}

#[tokio::test]
async fn callbacks_report_sent_and_delivered_with_valid_signatures_and_the_original_query() {
    let (simulator, _receiver, mut shown) = connected().await;
    let created = simulator.send(ANA, "hello").await.unwrap();
    for status in ["sent", "delivered"] {
        let (uri, callback) = check(&simulator, soon(shown.recv()).await.unwrap()).await;
        assert_eq!(uri, "/api/sms/status?send=a%20b");
        assert_eq!(callback.message_sid, created.sid);
        assert_eq!(
            callback.account_sid.as_str(),
            simulator.settings.get("TWILIO_ACCOUNT_SID")
        );
        assert_eq!(callback.status.as_str(), status);
        assert_eq!(callback.error_code, None);
    }
    let made = soon(simulator.api.callbacks_of(created.sid.as_str(), 2)).await;
    assert!(
        made.iter()
            .all(|callback| callback.http_status == Some(200))
    );
    let found = simulator.client.messages_to(ANA, long_ago()).await.unwrap();
    assert_eq!(found[0].status.as_str(), "delivered");
}

#[tokio::test]
async fn a_message_of_a_messaging_service_starts_as_accepted_and_is_then_queued() {
    let (simulator, _receiver, mut shown) = connected().await;
    let callback = format!("{PUBLIC_BASE_URL}/api/sms/status");
    let message = OutboundMessage {
        to: ANA,
        from: &Sender::MessagingService(format!("MG{}", "0".repeat(32))),
        body: "hello",
        status_callback: Some(&callback),
        validity: std::time::Duration::from_mins(1),
    };
    let created = simulator.client.create_message(&message).await.unwrap();
    assert_eq!(created.status.as_str(), "accepted");
    let told = statuses(&simulator, &mut shown, 3).await;
    assert_eq!(told, ["queued", "sent", "delivered"]);
    assert_eq!(simulator.api.accepted()[0].from, None);
}

#[tokio::test]
async fn an_undelivered_message_carries_its_error_code() {
    let (simulator, _receiver, mut shown) = connected().await;
    simulator
        .api
        .behave(ANA, Callbacks::Undelivered { code: 30005 });
    simulator.send(ANA, "hello").await.unwrap();
    assert_eq!(statuses(&simulator, &mut shown, 1).await, ["sent"]);
    let (_, callback) = check(&simulator, soon(shown.recv()).await.unwrap()).await;
    assert_eq!(callback.status.as_str(), "undelivered");
    let code = callback.error_code.unwrap();
    assert_eq!(reason(code).label(), "unknown_number");
    let found = simulator.client.messages_to(ANA, long_ago()).await.unwrap();
    assert_eq!(found[0].error_code, Some(code));
}

#[tokio::test]
async fn callbacks_come_in_the_requested_order_and_the_message_keeps_its_furthest_state() {
    let (simulator, _receiver, mut shown) = connected().await;
    let order = ["delivered", "sent", "delivered", "sent", "queued"];
    simulator.api.behave(ANA, sequence(&order, false));
    let created = simulator.send(ANA, "hello").await.unwrap();
    assert_eq!(statuses(&simulator, &mut shown, 5).await, order);
    soon(simulator.api.callbacks_of(created.sid.as_str(), 5)).await;
    assert_eq!(
        soon(simulator.api.message_to(ANA)).await.status,
        "delivered"
    );
}

#[tokio::test]
async fn callbacks_can_arrive_before_the_response() {
    let (simulator, _receiver, mut shown) = connected().await;
    simulator
        .api
        .behave(ANA, sequence(&["sent", "delivered"], true));
    simulator.send(ANA, "hello").await.unwrap();
    for status in ["sent", "delivered"] {
        let request = shown.try_recv().expect("it came before the answer");
        assert_eq!(check(&simulator, request).await.1.status.as_str(), status);
    }
}

#[tokio::test]
async fn a_message_with_a_lost_response_gets_callbacks_unless_disabled() {
    let (simulator, _receiver, mut shown) = connected().await;
    let quiet = "+12025550101";
    simulator
        .api
        .behave(quiet, SendAnswer::CutAfter.without_callbacks());
    simulator.api.behave(ANA, SendAnswer::CutAfter);
    simulator.send(quiet, "hello").await.unwrap_err();
    simulator.send(ANA, "hello").await.unwrap_err();
    assert_eq!(
        statuses(&simulator, &mut shown, 2).await,
        ["sent", "delivered"]
    );
    let sid = soon(simulator.api.message_to(quiet)).await.sid;
    assert!(soon(simulator.api.callbacks_of(&sid, 0)).await.is_empty());
}

#[tokio::test]
async fn callbacks_go_only_to_the_receiver() {
    let (simulator, elsewhere, mut shown) = connected().await;
    for url in [
        format!("{}/api/sms/status", elsewhere.base),
        format!("{PUBLIC_BASE_URL}.evil.example.com/"),
    ] {
        let message = OutboundMessage {
            to: ANA,
            from: &Sender::Number(super::OURS.to_owned()),
            body: "hello",
            status_callback: Some(&url),
            validity: std::time::Duration::from_mins(1),
        };
        let created = simulator.client.create_message(&message).await.unwrap();
        let made = soon(simulator.api.callbacks_of(created.sid.as_str(), 2)).await;
        assert!(made.iter().all(|callback| callback.http_status.is_none()));
    }
    assert!(shown.try_recv().is_err());
}
