//! Lists that cannot be read: each reason can be told apart.

use std::time::Duration;

use twilio::rest::{ListError, TwilioAccountProblem, Unclear, WebhookAlert};
use twilio_simulator::{NumberSettings, ReadAnswer, ServiceSettings};

use super::{ANA, OURS, SimulatorHarness, client, client_at, long_ago};
use crate::{
    app::text,
    settings::{PUBLIC_BASE_URL, WEBHOOK},
};

/// The results of all operations that read.
async fn read_all(client: &twilio::rest::Client) -> Vec<Option<ListError>> {
    let (from, until) = (long_ago(), long_ago());
    let message = format!("SM{}", "0".repeat(32)).parse().unwrap();
    let alert = WebhookAlert {
        sid: format!("NO{}", "0".repeat(32)),
        message,
        error_code: 11200,
        generated: from,
    };
    vec![
        client.inbound_messages(OURS, from, until).await.err(),
        client.media_of(&alert.message).await.err(),
        client.webhook_alerts(from, until).await.err(),
        client.webhook_parameters(&alert).await.err(),
        client
            .numbers_with_webhook("https://sms.example.com/")
            .await
            .err(),
    ]
}

#[tokio::test]
async fn a_throttled_an_unavailable_and_a_refused_list_can_be_told_apart() {
    let simulator = SimulatorHarness::start().await;
    let account = |status, reason| ListError::Account { status, reason };
    for (reads, expected) in [
        (
            ReadAnswer::Throttle {
                times: 5,
                retry_after: Some(7),
            },
            ListError::Throttled {
                retry_after: Some(Duration::from_secs(7)),
            },
        ),
        (
            ReadAnswer::Throttle {
                times: 5,
                retry_after: None,
            },
            ListError::Throttled { retry_after: None },
        ),
        (
            ReadAnswer::ServerError { times: 5 },
            ListError::Unavailable(Unclear::ServerError(500)),
        ),
        (
            ReadAnswer::Cut { times: 5 },
            ListError::Unavailable(Unclear::ConnectionLost),
        ),
        (
            ReadAnswer::BadCredentials,
            account(401, TwilioAccountProblem::Credentials),
        ),
        (
            ReadAnswer::Refuse {
                status: 403,
                code: 20005,
            },
            account(403, TwilioAccountProblem::Suspended),
        ),
    ] {
        simulator
            .api
            .set_conditions(|conditions| conditions.reads = reads.clone());
        let errors = read_all(&simulator.client).await;
        assert_eq!(errors, vec![Some(expected); 5], "{reads:?}");
    }
    // The counted answers have ended, and the last one has not.
    assert!(
        read_all(&simulator.client)
            .await
            .iter()
            .all(Option::is_some)
    );
    simulator
        .api
        .set_conditions(|conditions| conditions.reads = ReadAnswer::Slow { ms: 50 });
    assert_eq!(read_all(&simulator.client).await, vec![None; 5]);
}

#[tokio::test]
async fn wrong_credentials_and_an_absent_twilio_are_reported_as_such() {
    let simulator = SimulatorHarness::start().await;
    let base = simulator.settings.get("TWILIO_API_BASE_URL");
    let wrong = client(base, &simulator.settings, "wrong");
    let reason = TwilioAccountProblem::Credentials;
    let refused = ListError::Account {
        status: 401,
        reason,
    };
    assert_eq!(read_all(&wrong).await, vec![Some(refused); 5]);
    let lost = ListError::Unavailable(Unclear::ConnectionLost);
    let nobody = client_at("http://127.0.0.1:9");
    assert_eq!(read_all(&nobody).await, vec![Some(lost); 5]);
    let (garbage, _shown) = super::FakeTwilio::showing(|| "<html>").await;
    let errors = read_all(&client_at(&garbage.base)).await;
    assert_eq!(errors, vec![Some(ListError::Unreadable); 5]);
}

#[tokio::test]
async fn a_message_of_the_list_can_be_redacted_and_deleted_as_at_twilio() {
    let simulator = SimulatorHarness::start().await;
    let sid = simulator.api.take_lost(&text(ANA, "hello"), long_ago());
    let base = simulator.settings.get("TWILIO_API_BASE_URL");
    let account = simulator.settings.get("TWILIO_ACCOUNT_SID");
    let token = simulator.settings.get("TWILIO_AUTH_TOKEN");
    let url = format!("{base}/2010-04-01/Accounts/{account}/Messages/{sid}.json");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |request: reqwest::RequestBuilder| {
        let request = request.basic_auth(account, Some(token));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert!(send(http.get(&url)).await.1.contains("hello"));
    assert_eq!(
        send(http.post(&url).form(&[("Body", "other")])).await.0,
        400
    );
    let (status, body) = send(http.post(&url).form(&[("Body", "")])).await;
    assert!(status == 200 && !body.contains("hello"), "{body}");
    assert_eq!(send(http.delete(&url)).await.0, 204);
    for request in [http.get(&url), http.delete(&url)] {
        assert_eq!(send(request).await.0, 404);
    }
}

fn number(sms_url: &str) -> NumberSettings {
    NumberSettings {
        sms_url: sms_url.to_owned(),
        sms_method: "POST".to_owned(),
        sms_fallback_url: String::new(),
        sms_fallback_method: "POST".to_owned(),
        sms_application_sid: String::new(),
        sms: true,
    }
}

#[tokio::test]
async fn the_numbers_are_those_whose_messages_come_to_our_webhook() {
    const OTHER: &str = "https://other.example.com/sms";
    let simulator = SimulatorHarness::start().await;
    let ours = format!("{PUBLIC_BASE_URL}{WEBHOOK}");
    let find = async || simulator.client.numbers_with_webhook(&ours).await.unwrap();
    assert_eq!(find().await, [OURS]);

    let application = format!("AP{}", "1".repeat(32));
    let by_application = NumberSettings {
        sms_application_sid: application.clone(),
        ..number(OTHER)
    };
    let unknown_application = NumberSettings {
        sms_application_sid: format!("AP{}", "2".repeat(32)),
        ..number(&ours)
    };
    simulator.api.set(|console| {
        console.applications.insert(application, ours.clone());
        console.other_numbers = [
            ("+15005550011", number(&ours)),
            ("+15005550012", number(OTHER)),
            ("+15005550013", number("")),
            ("+15005550014", by_application),
            ("+15005550015", unknown_application),
        ]
        .map(|(number, settings)| (number.to_owned(), settings))
        .into();
    });
    assert_eq!(find().await, [OURS, "+15005550011", "+15005550014"]);

    // The messaging service of a number decides, unless it leaves that to the number.
    let service = |url: &str, by_number| ServiceSettings {
        inbound_request_url: url.to_owned(),
        use_inbound_webhook_on_number: by_number,
        has_number: true,
        ..ServiceSettings::default()
    };
    let sid = format!("MG{}", "3".repeat(32));
    for (own_url, service, expected) in [
        (ours.as_str(), service(OTHER, false), false),
        (&ours, service("", false), false),
        (&ours, service(OTHER, true), true),
        (OTHER, service(&format!("{ours}#rc=3&rp=all"), false), true),
        (OTHER, service(&ours, true), false),
    ] {
        simulator.api.set(|console| {
            console.number.sms_url = own_url.to_owned();
            console.services = [(sid.clone(), service.clone())].into();
        });
        let found = find().await.contains(&OURS.to_owned());
        assert_eq!(found, expected, "{own_url} {service:?}");
    }
}
