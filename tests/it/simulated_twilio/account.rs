//! Credentials, validation of requests, single messages, and the control endpoint.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use twilio::rest::{Client, CreateError, Credentials};
use twilio_simulator::Callbacks;

use super::{ANA, OURS, SimulatorHarness, client, send, soon};
use crate::webhook;

fn request(simulator: &SimulatorHarness, method: Method, path: &str) -> RequestBuilder {
    let base = simulator.settings.get("TWILIO_API_BASE_URL");
    webhook::client().request(method, format!("{base}{path}"))
}

/// A request to the account with valid credentials.
fn of_account(simulator: &SimulatorHarness, method: Method, path: &str) -> RequestBuilder {
    let account = simulator.settings.get("TWILIO_ACCOUNT_SID");
    let path = format!("/2010-04-01/Accounts/{account}{path}");
    let token = simulator.settings.get("TWILIO_AUTH_TOKEN");
    request(simulator, method, &path).basic_auth(account, Some(token))
}

async fn json_of(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// The status and Twilio's error code.
async fn refusal(request: RequestBuilder) -> (u16, u64) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = json_of(response).await;
    assert_eq!(body["status"], status);
    let code = body["code"].as_u64().unwrap();
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    assert_eq!(body["more_info"], more);
    (status, code)
}

#[tokio::test]
async fn only_the_accounts_token_and_api_keys_are_accepted() {
    let simulator = SimulatorHarness::start().await;
    let base = simulator.settings.get("TWILIO_API_BASE_URL");
    let account = simulator.settings.get("TWILIO_ACCOUNT_SID");
    let key = Credentials {
        account: account.parse().unwrap(),
        username: "SKkey".to_owned(),
        secret: "of-the-key".into(),
    };
    let by_key = Client::new(base.parse().unwrap(), key).unwrap();
    send(&by_key, ANA, "hello").await.unwrap();

    let wrong = client(base, &simulator.settings, "wrong");
    let error = send(&wrong, ANA, "hello").await.unwrap_err();
    assert!(matches!(
        error,
        CreateError::Account {
            status: 401,
            code: Some(20003),
            ..
        }
    ));
    let list = format!("/2010-04-01/Accounts/{account}/Messages.json");
    assert_eq!(
        refusal(request(&simulator, Method::GET, &list)).await,
        (401, 20003)
    );
    let other = format!("/2010-04-01/Accounts/AC{}/Messages.json", "0".repeat(32));
    let token = simulator.settings.get("TWILIO_AUTH_TOKEN");
    let other = request(&simulator, Method::GET, &other).basic_auth(account, Some(token));
    assert_eq!(refusal(other).await, (404, 20404));
    assert_eq!(simulator.api.requests().unauthorized, 2);
    assert_eq!(simulator.api.accepted().len(), 1);
}

#[tokio::test]
async fn an_invalid_request_is_refused_with_twilios_error_code() {
    let simulator = SimulatorHarness::start().await;
    let long = "x".repeat(1601);
    let good = [("To", ANA), ("From", OURS), ("Body", "hello")];
    for (change, code) in [
        (("To", ""), 21604),
        (("To", "2025550123"), 21211),
        (("To", "whatsapp:+12025550123"), 21211),
        (("From", ""), 21603),
        (("From", "nobody"), 21212),
        (("From", "+12025550188"), 21606),
        (("From", "+15005550001"), 21212),
        (("From", "+15005550007"), 21606),
        (("From", "+15005550008"), 21611),
        (("MessagingServiceSid", "MGx"), 21701),
        (("Body", ""), 21602),
        (("Body", long.as_str()), 21617),
        (("StatusCallback", "sms.example.com/status"), 21609),
        (("StatusCallback", "https://a_b.example.com/"), 21609),
        (("ValidityPeriod", "0"), 20001),
        (("ValidityPeriod", "36001"), 20001),
    ] {
        let mut form: Vec<_> = good
            .into_iter()
            .filter(|field| field.0 != change.0)
            .collect();
        form.push(change);
        let post = of_account(&simulator, Method::POST, "/Messages.json").form(&form);
        assert_eq!(refusal(post).await, (400, code), "{}", change.0);
    }
    assert!(simulator.api.accepted().is_empty());
    assert_eq!(simulator.api.posts_to(ANA), 0);
}

#[tokio::test]
async fn a_message_resource_has_twilios_fields() {
    let simulator = SimulatorHarness::start().await;
    let form = [("To", ANA), ("From", OURS), ("Body", "hello")];
    let post = of_account(&simulator, Method::POST, "/Messages.json").form(&form);
    let response = post.send().await.unwrap();
    assert_eq!(response.status(), 201);
    let headers = response.headers();
    let id = headers["twilio-request-id"].to_str().unwrap();
    assert!(id.starts_with("RQ") && id.len() == 34, "{id}");
    assert_eq!(headers["twilio-concurrent-requests"], "1");
    assert!(headers.contains_key("twilio-request-duration"));
    let message = json_of(response).await;
    for (name, value) in [
        ("num_segments", json!("1")),
        ("num_media", json!("0")),
        ("status", json!("queued")),
        ("error_code", Value::Null),
        ("price", Value::Null),
        ("date_sent", Value::Null),
        ("direction", json!("outbound-api")),
        ("to", json!(ANA)),
    ] {
        assert_eq!(message[name], value, "{name}");
    }
    let sid = message["sid"].as_str().unwrap();
    let file = format!("/Messages/{sid}.json");
    assert!(message["uri"].as_str().unwrap().ends_with(&file));
    let fetched = of_account(&simulator, Method::GET, &file)
        .send()
        .await
        .unwrap();
    assert_eq!(json_of(fetched).await["body"], "hello");
}

#[tokio::test]
async fn a_message_can_be_deleted_once_it_has_arrived() {
    let simulator = SimulatorHarness::start().await;
    let file = |sid: &str| format!("/Messages/{sid}.json");
    let quiet = Callbacks::Sequence {
        statuses: Vec::new(),
        error_code: None,
        before_answer: false,
    };
    simulator.api.behave("+12025550101", quiet);
    let waits = simulator.send("+12025550101", "hello").await.unwrap();
    let delete = of_account(&simulator, Method::DELETE, &file(waits.sid.as_str()));
    assert_eq!(refusal(delete).await, (409, 20009));

    let gone = simulator.send(ANA, "hello").await.unwrap();
    soon(simulator.api.callbacks_of(gone.sid.as_str(), 2)).await;
    let delete = || of_account(&simulator, Method::DELETE, &file(gone.sid.as_str()));
    assert_eq!(delete().send().await.unwrap().status(), 204);
    assert_eq!(refusal(delete()).await, (404, 20404));
    let fetch = of_account(&simulator, Method::GET, &file(gone.sid.as_str()));
    assert_eq!(refusal(fetch).await, (404, 20404));
    assert!(
        simulator
            .client
            .messages_to(ANA, super::long_ago())
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        simulator.api.accepted().len(),
        2,
        "the deleted message had been sent"
    );
}

#[tokio::test]
async fn the_behaviour_of_a_number_is_set_over_http() {
    let simulator = SimulatorHarness::start().await;
    let number = format!("/simulated/numbers/{ANA}");
    let put = async |path: &str, body: &str| {
        let request = request(&simulator, Method::PUT, path).body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    };
    let refuse = r#"{"answer":{"refuse":{"status":400,"code":21610}},"callbacks":"none"}"#;
    assert_eq!(put(&number, refuse).await, 204);
    let shown = request(&simulator, Method::GET, &number)
        .send()
        .await
        .unwrap();
    let told: Value = serde_json::from_str(refuse).unwrap();
    assert_eq!(json_of(shown).await, told);
    simulator.send(ANA, "no").await.unwrap_err();

    assert_eq!(put(&number, r#"{"answer":"surprise"}"#).await, 400);
    assert_eq!(put(&number, r#"{"anser":"accept"}"#).await, 400);
    assert_eq!(put("/simulated/numbers/ana", "{}").await, 400);
    let delete = request(&simulator, Method::DELETE, &number);
    assert_eq!(delete.send().await.unwrap().status(), 204);
    simulator.send(ANA, "yes").await.unwrap();
    simulator
        .send("+12025550101", "to somebody else")
        .await
        .unwrap();

    let get = async |path: &str| {
        json_of(request(&simulator, Method::GET, path).send().await.unwrap()).await
    };
    let all = get("/simulated/messages").await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    for query in ["+12025550123", "%2B12025550123"] {
        let anas = get(&format!("/simulated/messages?to={query}")).await;
        assert_eq!(anas[0]["body"], "yes");
        assert_eq!(anas.as_array().unwrap().len(), 1);
    }
}
