//! Requests to send a message, and their results.

use std::time::Duration;

use axum::http::{StatusCode, header};
use tokio::net::TcpListener;
use twilio::rest::{CreateError, NotProcessed, SendRefusal, TwilioAccountProblem, Unclear};
use twilio_simulator::{Behaviour, SendAnswer};

use super::{ANA, FakeTwilio, OURS, SimulatorHarness, client_at, send, soon};
use crate::settings::PUBLIC_BASE_URL;

fn no_connection() -> CreateError {
    CreateError::NotProcessed {
        retry_after: None,
        why: NotProcessed::NoConnection,
    }
}

#[tokio::test]
async fn a_message_is_accepted_with_all_its_parameters() {
    let simulator = SimulatorHarness::start().await;
    let body = "Zoë & Bo = 100% + \u{1f44b}: 123456";
    let created = simulator.send(ANA, body).await.unwrap();
    assert_eq!(created.status.as_str(), "queued");
    let [accepted] = &simulator.api.accepted()[..] else {
        panic!("not one message");
    };
    assert_eq!(accepted.sid, created.sid.as_str());
    assert_eq!((accepted.to.as_str(), accepted.body.as_str()), (ANA, body));
    assert_eq!(accepted.from.as_deref(), Some(OURS));
    assert_eq!(accepted.validity, Some(600));
    let callback = format!("{PUBLIC_BASE_URL}/api/sms/status?send=a%20b");
    assert_eq!(accepted.status_callback, Some(callback));
    assert_eq!(soon(simulator.api.message_to(ANA)).await.sid, accepted.sid);
    assert_eq!(simulator.api.requests().create, 1);
}

#[tokio::test]
async fn each_failure_has_its_class_and_only_accepted_messages_were_sent() {
    let simulator = SimulatorHarness::start().await;
    let refuse = |status, code| SendAnswer::Refuse { status, code };
    let refused = |status, code, reason| CreateError::Refused {
        status,
        code: Some(code),
        reason,
    };
    let account = |status, code, reason| CreateError::Account {
        status,
        code: Some(code),
        reason,
    };
    let server_error = CreateError::Unclear(Unclear::ServerError(500));
    let lost = CreateError::Unclear(Unclear::ConnectionLost);
    let odd = |status| CreateError::Unclear(Unclear::UnexpectedAnswer(status));
    let throttled = CreateError::NotProcessed {
        retry_after: Some(Duration::from_secs(7)),
        why: NotProcessed::Throttled,
    };
    let full = CreateError::NotProcessed {
        retry_after: Some(Duration::from_mins(1)),
        why: NotProcessed::QueueFull,
    };
    let throttle = SendAnswer::Throttle {
        times: 1,
        retry_after: Some(7),
    };
    for (answer, error, messages) in [
        (
            refuse(400, 21211),
            refused(400, 21211, SendRefusal::InvalidNumber),
            0,
        ),
        (
            refuse(400, 21408),
            refused(400, 21408, SendRefusal::RegionNotEnabled),
            0,
        ),
        (
            refuse(400, 21610),
            refused(400, 21610, SendRefusal::OptedOut),
            0,
        ),
        (
            refuse(403, 30450),
            refused(403, 30450, SendRefusal::BlockedAsFraud),
            0,
        ),
        (
            refuse(400, 21608),
            account(400, 21608, TwilioAccountProblem::Trial),
            0,
        ),
        (
            refuse(401, 20005),
            account(401, 20005, TwilioAccountProblem::Suspended),
            0,
        ),
        (
            SendAnswer::BadCredentials,
            account(401, 20003, TwilioAccountProblem::Credentials),
            0,
        ),
        (throttle, throttled, 0),
        (refuse(429, 21611), full, 0),
        (
            SendAnswer::ServerError { accept: false },
            server_error.clone(),
            0,
        ),
        (SendAnswer::ServerError { accept: true }, server_error, 1),
        (SendAnswer::CutBefore, lost.clone(), 0),
        (SendAnswer::CutAfter, lost, 1),
        (SendAnswer::Garbage, odd(201), 1),
        (refuse(307, 0), odd(307), 0),
    ] {
        let number = format!("+1202555{:04}", simulator.api.requests().create);
        simulator.api.behave(&number, answer.clone());
        assert_eq!(
            simulator.send(&number, "hello").await,
            Err(error),
            "{answer:?}"
        );
        assert_eq!(
            simulator.api.posts_to(&number),
            1,
            "{answer:?} was asked again"
        );
        let sent = soon(simulator.api.messages_to(&number, 0)).await;
        assert_eq!(sent.len(), messages, "{answer:?}");
    }
}

#[tokio::test]
async fn a_throttled_request_succeeds_later() {
    let simulator = SimulatorHarness::start().await;
    simulator.api.behave(
        ANA,
        SendAnswer::Throttle {
            times: 2,
            retry_after: None,
        },
    );
    let throttled = CreateError::NotProcessed {
        retry_after: None,
        why: NotProcessed::Throttled,
    };
    assert_eq!(simulator.send(ANA, "one").await, Err(throttled.clone()));
    assert_eq!(simulator.send(ANA, "two").await, Err(throttled));
    simulator.send(ANA, "three").await.unwrap();
    assert_eq!(soon(simulator.api.message_to(ANA)).await.body, "three");
    assert_eq!(simulator.api.posts_to(ANA), 3);
}

#[tokio::test]
async fn twilios_magic_numbers_are_refused_with_twilios_reasons() {
    let simulator = SimulatorHarness::start().await;
    for (number, expected) in [
        ("+15005550001", SendRefusal::InvalidNumber),
        ("+15005550002", SendRefusal::NoRoute),
        ("+15005550003", SendRefusal::RegionNotEnabled),
        ("+15005550004", SendRefusal::OptedOut),
        ("+15005550009", SendRefusal::NotMobile),
    ] {
        match simulator.send(number, "hello").await {
            Err(CreateError::Refused { reason, .. }) => assert_eq!(reason, expected, "{number}"),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert!(simulator.api.accepted().is_empty());
    simulator.api.behave("+15005550001", Behaviour::default());
    simulator.send("+15005550001", "hello").await.unwrap();
}

#[tokio::test]
async fn the_client_waits_for_a_late_response_and_gives_up_on_a_missing_one() {
    let simulator = SimulatorHarness::start().await;
    let slow = |before_accepting, after| SendAnswer::Slow {
        before_accepting,
        after,
    };
    simulator.api.behave(ANA, slow(50, 50));
    simulator.send(ANA, "late").await.unwrap();

    let (never, too_late, taken) = ("+12025550101", "+12025550102", "+12025550103");
    simulator.api.behave(never, SendAnswer::Never);
    simulator.api.behave(too_late, slow(16_000, 0));
    simulator.api.behave(taken, slow(0, 600_000));
    let timeout = Err(CreateError::Unclear(Unclear::Timeout));
    let (a, b, c) = tokio::join!(
        simulator.send(never, "a"),
        simulator.send(too_late, "b"),
        simulator.send(taken, "c"),
    );
    assert_eq!((&a, &b, &c), (&timeout, &timeout, &timeout));
    // Twilio executes a request whether or not the client still waits.
    assert_eq!(soon(simulator.api.message_to(taken)).await.body, "c");
    assert_eq!(soon(simulator.api.message_to(too_late)).await.body, "b");
    assert!(soon(simulator.api.messages_to(never, 0)).await.is_empty());
    for number in [never, too_late, taken] {
        assert_eq!(simulator.api.posts_to(number), 1);
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let refused = client_at(&format!("http://127.0.0.1:{port}"));
    assert_eq!(send(&refused, ANA, "hello").await, Err(no_connection()));

    let unknown = client_at("http://nobody.invalid");
    assert_eq!(send(&unknown, ANA, "hello").await, Err(no_connection()));
}

#[tokio::test]
async fn a_failed_or_slow_tls_handshake_counts_as_nothing_sent() {
    let simulator = SimulatorHarness::start().await;
    let plain = simulator.api.addr();
    let no_tls = client_at(&format!("https://{plain}"));
    assert_eq!(send(&no_tls, ANA, "hello").await, Err(no_connection()));
    assert_eq!(simulator.api.requests().create, 0);

    // It accepts connections and sends nothing.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute_tls = client_at(&format!("https://{}", mute.local_addr().unwrap()));
    assert_eq!(send(&mute_tls, ANA, "hello").await, Err(no_connection()));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let answer = || {
        let to = [(header::LOCATION, "/elsewhere")];
        (StatusCode::TEMPORARY_REDIRECT, to, "")
    };
    let (fake, mut shown) = FakeTwilio::showing(answer).await;
    let client = client_at(&fake.base);
    assert_eq!(
        send(&client, ANA, "hello").await,
        Err(CreateError::Unclear(Unclear::UnexpectedAnswer(307)))
    );
    assert_eq!(shown.try_recv().unwrap().method(), "POST");
    assert!(
        shown.try_recv().is_err(),
        "the client sent a second request"
    );
}
