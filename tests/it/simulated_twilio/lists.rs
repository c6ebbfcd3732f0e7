//! Looking up messages whose creation is uncertain.

use serde_json::json;
use twilio::rest::{ListError, TwilioAccountProblem, Unclear};
use twilio_simulator::{Callbacks, SendAnswer};

use super::{ANA, FakeTwilio, SimulatorHarness, client, client_at, long_ago, second, soon};

#[tokio::test]
async fn a_message_with_a_lost_response_is_listed_and_messages_to_other_numbers_are_not() {
    let simulator = SimulatorHarness::start().await;
    simulator
        .send("+12025550199", "to somebody else")
        .await
        .unwrap();
    let first = simulator.send(ANA, "first").await.unwrap();
    simulator
        .api
        .behave(ANA, SendAnswer::CutAfter.without_callbacks());
    simulator.send(ANA, "second").await.unwrap_err();
    simulator.api.behave(ANA, SendAnswer::CutBefore);
    simulator.send(ANA, "third").await.unwrap_err();

    let found = simulator.client.messages_to(ANA, long_ago()).await.unwrap();
    let bodies: Vec<_> = found.iter().map(|m| m.body.as_str()).collect();
    // Within one second, Twilio determines the order.
    assert_eq!(bodies, ["second", "first"]);
    assert_eq!(found[1].sid, first.sid);
    for message in &found {
        assert_eq!(message.to, ANA);
        assert_eq!(message.direction, "outbound-api");
        assert_eq!(message.error_code, None);
        let accepted = soon(simulator.api.messages_to(ANA, 2)).await;
        let accepted = accepted
            .iter()
            .find(|a| a.sid == message.sid.as_str())
            .unwrap();
        assert_eq!(message.created.timestamp(), accepted.at.timestamp());
    }
}

#[tokio::test]
async fn a_queued_message_is_listed() {
    let simulator = SimulatorHarness::start().await;
    let nothing = Callbacks::Sequence {
        statuses: Vec::new(),
        error_code: None,
        before_answer: false,
    };
    simulator.api.behave(ANA, nothing);
    simulator.send(ANA, "hello").await.unwrap();
    let found = simulator.client.messages_to(ANA, long_ago()).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].status.as_str(), "queued");
}

#[tokio::test]
async fn messages_older_than_requested_are_left_out() {
    let simulator = SimulatorHarness::start().await;
    simulator.send(ANA, "hello").await.unwrap();
    let at = soon(simulator.api.message_to(ANA)).await.at;
    let found = async |since| {
        simulator
            .client
            .messages_to(ANA, since)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(found(at).await, 1);
    assert_eq!(found(at + second() * 30).await, 1, "clocks differ");
    assert_eq!(found(at + second() * 3600).await, 0);
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page() {
    let simulator = SimulatorHarness::start().await;
    for count in 0..205 {
        simulator.send(ANA, &count.to_string()).await.unwrap();
    }
    let found = simulator.client.messages_to(ANA, long_ago()).await.unwrap();
    let mut bodies: Vec<u32> = found.iter().map(|m| m.body.parse().unwrap()).collect();
    assert!(
        bodies.starts_with(&[204]) && bodies.ends_with(&[0]),
        "{bodies:?}"
    );
    bodies.sort_unstable();
    assert_eq!(bodies, (0..205).collect::<Vec<_>>());
    assert_eq!(simulator.api.requests().list, 3);
}

#[tokio::test]
async fn reading_an_endless_list_is_abandoned() {
    let answer = || {
        let messages = json!([{
            "sid": format!("SM{}", "0".repeat(32)), "to": ANA, "body": "again", "status": "sent",
            "error_code": null, "direction": "outbound-api",
            "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        }]);
        messages
    };
    let fake = FakeTwilio::answering(axum::Router::new().fallback(
        async move |request: axum::extract::Request| {
            let uri = request.uri().to_string();
            json!({ "messages": answer(), "next_page_uri": uri }).to_string()
        },
    ))
    .await;
    let asked = client_at(&fake.base).messages_to(ANA, long_ago()).await;
    assert_eq!(asked, Err(ListError::TooLong));
}

#[tokio::test]
async fn credentials_are_sent_only_to_the_accounts_own_list() {
    for elsewhere in [
        "http://127.0.0.1:1/2010-04-01/Accounts",
        "@evil.example.com/",
        "/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json?Page=1",
        "/elsewhere",
    ] {
        let page = json!({ "messages": [], "next_page_uri": elsewhere }).to_string();
        let (fake, mut shown) = FakeTwilio::showing(move || page.clone()).await;
        let asked = client_at(&fake.base).messages_to(ANA, long_ago()).await;
        assert_eq!(asked, Err(ListError::Unreadable), "{elsewhere}");
        assert!(shown.try_recv().is_ok());
        assert!(shown.try_recv().is_err(), "{elsewhere} was asked for");
    }
}

#[tokio::test]
async fn an_unavailable_list_returns_the_reason() {
    let simulator = SimulatorHarness::start().await;
    let wrong = client(
        simulator.settings.get("TWILIO_API_BASE_URL"),
        &simulator.settings,
        "wrong",
    );
    let reason = TwilioAccountProblem::Credentials;
    let refused = ListError::Account {
        status: 401,
        reason,
    };
    assert_eq!(wrong.messages_to(ANA, long_ago()).await, Err(refused));

    let nobody = client_at("http://nobody.invalid");
    let lost = ListError::Unavailable(Unclear::ConnectionLost);
    assert_eq!(nobody.messages_to(ANA, long_ago()).await, Err(lost));

    let (fake, _shown) = FakeTwilio::showing(|| "<html>").await;
    let asked = client_at(&fake.base).messages_to(ANA, long_ago()).await;
    assert_eq!(asked, Err(ListError::Unreadable));
}
