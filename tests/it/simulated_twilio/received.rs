//! What Twilio still knows of messages whose webhook failed.

use chrono::{DateTime, Utc};
use serde_json::json;
use twilio::{
    InboundWebhook,
    rest::{InboundRecord, ListError},
};
use twilio_simulator::{InboundText, WebhookResult};

use super::{ANA, FakeTwilio, OURS, SimulatorHarness, client_at, soon};
use crate::{
    app::{field, text},
    wait::{PATIENCE, eventually},
};

fn at(time: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(time).unwrap().to_utc()
}

fn noon() -> DateTime<Utc> {
    at("2023-11-20T12:00:00Z")
}

/// The messages to our number from `from` until before `until`.
async fn listed(simulator: &SimulatorHarness, from: &str, until: &str) -> Vec<InboundRecord> {
    let found = simulator.client.inbound_messages(OURS, at(from), at(until));
    found.await.unwrap()
}

/// The messages of the day of [`noon`].
async fn of_the_day(simulator: &SimulatorHarness) -> Vec<InboundRecord> {
    listed(simulator, "2023-11-20T00:00:00Z", "2023-11-21T00:00:00Z").await
}

fn bodies(found: &[InboundRecord]) -> Vec<&str> {
    found.iter().map(|m| m.body.as_deref().unwrap()).collect()
}

#[tokio::test]
async fn a_lost_message_is_listed_with_all_that_its_webhook_said_of_it() {
    let simulator = SimulatorHarness::start().await;
    let lost = InboundText {
        media: vec!["image/png".to_owned(), "text/vcard".to_owned()],
        fields: vec![field("MessagingServiceSid", "MG1")],
        ..text(ANA, "Ana's card")
    };
    let sid = simulator.api.take_lost(&lost, noon());
    let received = simulator.api.received();
    assert_eq!(
        received[0].webhook,
        WebhookResult::Failed { error_code: 11200 }
    );
    let webhook = InboundWebhook::from_fields(received[0].parameters.clone()).unwrap();

    let found = of_the_day(&simulator).await;
    assert_eq!(found.len(), 1);
    let record = &found[0];
    assert_eq!(record.sid.as_str(), sid);
    assert_eq!((record.from.as_str(), record.to.as_str()), (ANA, OURS));
    assert_eq!(record.body.as_deref(), Some("Ana's card"));
    assert_eq!((record.num_media, record.num_segments), (2, 1));
    assert_eq!(record.messaging_service_sid.as_deref(), Some("MG1"));
    assert_eq!(record.sent, noon());
    let files = simulator.client.media_of(&record.sid).await.unwrap();
    let files = files
        .iter()
        .map(|f| (f.url.as_str(), f.content_type.as_str()));
    let announced = webhook.media().iter();
    let announced = announced.map(|m| (m.url.as_str(), m.content_type.as_deref().unwrap()));
    assert_eq!(files.collect::<Vec<_>>(), announced.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_redacted_message_has_no_text_and_a_deleted_one_is_gone() {
    let simulator = SimulatorHarness::start().await;
    let picture = InboundText {
        media: vec!["image/png".to_owned()],
        ..text(ANA, "a picture")
    };
    let redacted = simulator.api.take_lost(&text(ANA, "hello"), noon());
    let deleted = simulator.api.take_lost(&picture, noon());
    assert_eq!(of_the_day(&simulator).await.len(), 2);
    assert!(simulator.api.redact(&redacted));
    assert!(simulator.api.delete(&deleted));
    let found = of_the_day(&simulator).await;
    assert_eq!(bodies(&found), [""]);
    assert_eq!(found[0].sid.as_str(), redacted);
    let deleted = deleted.parse().unwrap();
    assert_eq!(simulator.client.media_of(&deleted).await, Ok(vec![]));
    let unknown = format!("MM{}", "0".repeat(32)).parse().unwrap();
    assert_eq!(simulator.client.media_of(&unknown).await, Ok(vec![]));
}

#[tokio::test]
async fn only_messages_to_the_number_and_in_the_range_are_returned_newest_first() {
    let simulator = SimulatorHarness::start().await;
    for (time, body) in [
        ("2023-11-20T12:00:05Z", "5"),
        ("2023-11-20T23:59:59Z", "late"),
        ("2023-11-19T23:59:59Z", "the day before"),
        ("2023-11-20T11:59:59Z", "too old"),
        ("2023-11-20T12:00:00Z", "0"),
        ("2023-11-20T12:00:09Z", "9"),
        ("2023-11-20T12:00:10Z", "too new"),
    ] {
        simulator.api.take_lost(&text(ANA, body), at(time));
    }
    let elsewhere = InboundText {
        fields: vec![field("To", "+15005550099")],
        ..text(ANA, "to another number")
    };
    simulator.api.take_lost(&elsewhere, noon());
    simulator.send(ANA, "from us").await.unwrap();
    let found = listed(&simulator, "2023-11-20T12:00:00Z", "2023-11-20T12:00:10Z").await;
    assert_eq!(bodies(&found), ["9", "5", "0"]);
    // A fraction of a second in the range does not lose the whole second.
    let found = listed(
        &simulator,
        "2023-11-20T12:00:00.9Z",
        "2023-11-20T12:00:05.1Z",
    )
    .await;
    assert_eq!(bodies(&found), ["5", "0"]);
    // A range across midnight, and one that is empty.
    let found = listed(&simulator, "2023-11-19T23:59:00Z", "2023-11-20T00:00:01Z").await;
    assert_eq!(bodies(&found), ["the day before"]);
    assert!(
        listed(&simulator, "2023-11-18T00:00:00Z", "2023-11-18T23:00:00Z")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_long_list_is_read_a_thousand_messages_at_a_time_and_no_further_than_needed() {
    let simulator = SimulatorHarness::start().await;
    for n in 0..2500 {
        let time = noon() + chrono::TimeDelta::seconds(n);
        simulator.api.take_lost(&text(ANA, &n.to_string()), time);
    }
    let found = of_the_day(&simulator).await;
    let numbers: Vec<i64> = found
        .iter()
        .map(|m| m.body.as_ref().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..2500).rev().collect::<Vec<_>>());
    assert_eq!(simulator.api.requests().list, 3);
    // The last thousand, and the page that shows that there are no more.
    let found = listed(&simulator, "2023-11-20T12:25:00Z", "2023-11-21T00:00:00Z").await;
    assert_eq!(found.len(), 1000);
    assert_eq!(simulator.api.requests().list, 5);
}

#[tokio::test]
async fn a_new_message_appears_in_the_list_after_a_delay() {
    let simulator = SimulatorHarness::start().await;
    let lose = |conditions: &mut twilio_simulator::ApiConditions| {
        conditions.list_delay_ms = 400;
        conditions.webhooks = twilio_simulator::WebhookFate::Lose { error_code: 11205 };
    };
    simulator.api.set_conditions(lose);
    let sender = simulator.api.webhook_sender("http://127.0.0.1:9");
    let sent = sender.send(&text(ANA, "hello")).await;
    assert_eq!(sent.result, WebhookResult::Failed { error_code: 11205 });
    let taken = simulator.api.received()[0].at;
    let day = chrono::TimeDelta::days(1);
    let look = async || {
        let found = simulator
            .client
            .inbound_messages(OURS, taken - day, taken + day);
        found.await.unwrap().len()
    };
    assert_eq!(look().await, 0);
    eventually("the message is listed", PATIENCE, async || {
        (look().await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_endless_list_is_abandoned_and_so_is_an_endless_page() {
    let row = json!({
        "sid": format!("SM{}", "0".repeat(32)), "direction": "inbound", "to": OURS, "from": ANA,
        "body": "again", "num_media": "0", "num_segments": "1",
        "date_sent": "Mon, 20 Nov 2023 12:00:00 +0000",
    });
    let fake = FakeTwilio::answering(axum::Router::new().fallback(
        async move |request: axum::extract::Request| {
            let uri = request.uri().to_string();
            json!({ "messages": [row], "next_page_uri": uri }).to_string()
        },
    ))
    .await;
    let client = client_at(&fake.base);
    let until = at("2023-11-21T00:00:00Z");
    let asked = client.inbound_messages(OURS, noon(), until).await;
    assert_eq!(asked, Err(ListError::TooLong));

    let page = || " ".repeat(17 * 1024 * 1024);
    let (fake, _shown) = FakeTwilio::showing(page).await;
    let client = client_at(&fake.base);
    let asked = client.inbound_messages(OURS, noon(), until).await;
    assert_eq!(asked, Err(ListError::TooLong));
    assert_eq!(
        client.webhook_alerts(noon(), until).await,
        Err(ListError::TooLong)
    );
}

#[tokio::test]
async fn credentials_never_leave_the_host_and_the_path_of_the_list() {
    let until = at("2023-11-21T00:00:00Z");
    for elsewhere in [
        "@evil.example.com/",
        "/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages.json?Page=1",
        "https://evil.example.com/elsewhere?Page=1",
    ] {
        let page = json!({ "messages": [], "next_page_uri": elsewhere }).to_string();
        let (fake, mut shown) = FakeTwilio::showing(move || page.clone()).await;
        let asked = client_at(&fake.base)
            .inbound_messages(OURS, noon(), until)
            .await;
        assert_eq!(asked, Err(ListError::Unreadable), "{elsewhere}");
        soon(shown.recv()).await.unwrap();
        assert!(shown.try_recv().is_err(), "{elsewhere} was asked for");
    }
    // Of an address on another host with the path of the list, only the query is used.
    let page = json!({
        "alerts": [],
        "meta": { "next_page_url": "https://evil.example.com/v1/Alerts?Page=1" },
    });
    let page = page.to_string();
    let (fake, mut shown) = FakeTwilio::showing(move || page.clone()).await;
    let asked = client_at(&fake.base).webhook_alerts(noon(), until).await;
    assert_eq!(asked, Err(ListError::TooLong), "the fake list has no end");
    let first = soon(shown.recv()).await.unwrap();
    assert!(first.uri().query().unwrap().contains("LogLevel=error"));
    let second = soon(shown.recv()).await.unwrap();
    assert_eq!(second.uri().to_string(), "/v1/Alerts?Page=1");
}
