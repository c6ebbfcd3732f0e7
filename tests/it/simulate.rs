//! `pigeonhole simulate`, as a process: it sends webhooks to a running receiver.

use pigeonhole::services::Role;

use crate::{
    app::TestApp,
    commands::{assert_fails, assert_says},
    database::{Database, NUMBER},
    process::run,
    settings::hex,
};

#[tokio::test]
async fn simulate_delivers_messages_and_prints_their_responses() {
    let (app, _) = TestApp::with_twilio(|database| database).await;
    let receiver = format!("http://{}", app.receiver);
    let simulate = ["simulate", "--receiver", &receiver];

    let one = [
        &simulate[..],
        &["--body", "Lunch #friends", "--from", NUMBER],
    ]
    .concat();
    let ran = run(&one, &app.settings).await;
    assert_says(&ran, "1 × HTTP 200");
    let sid = ran.stdout.split_whitespace().next().unwrap();
    assert_eq!(app.run_until_ended(sid).await, "processed");
    assert_eq!(app.values(sid).await, ["Lunch #friends", "friends"]);

    let mms = [
        &simulate[..],
        &[
            "--media",
            "image/png",
            "--field",
            "Latitude=48.1",
            "--field",
            "Longitude=11.5",
        ],
    ]
    .concat();
    let ran = run(&mms, &app.settings).await;
    let sid = ran.stdout.split_whitespace().next().unwrap();
    assert!(sid.starts_with("MM"), "{}", ran.stdout);
    app.run_until_ended(sid).await;
    let values = app.values(sid).await;
    assert!(values.contains(&"48.1, 11.5".to_owned()), "{values:?}");
    assert!(values[0].ends_with("Photo, 48×32, 188 bytes"), "{values:?}");

    let many = [&simulate[..], &["--count", "30", "--rate", "200"]].concat();
    assert_says(&run(&many, &app.settings).await, "30 × HTTP 200");
    assert_eq!(app.rows().await.messages, 32);
    app.drain().await;
}

#[tokio::test]
async fn simulate_explains_why_it_cannot_deliver() {
    let database = Database::create().await;
    // A port without a listener: the listener is closed at once.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let settings = database
        .settings
        .clone()
        .with("LISTEN_ADDR", free.to_string());
    let ran = run(&["simulate"], &settings).await;
    assert_fails(&ran, 1, &format!("no answer from http://{free}"));

    let app = TestApp::on(database, Role::Receiver).await;
    let wrong_token = app.settings.clone().with("TWILIO_AUTH_TOKEN", hex());
    let receiver = format!("http://{}", app.receiver);
    let ran = run(&["simulate", "--receiver", &receiver], &wrong_token).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("1 × HTTP 403"), "{}", ran.stdout);
    assert!(ran.stderr.contains("TWILIO_AUTH_TOKEN"), "{}", ran.stderr);

    let ran = run(&["simulate", "--rate", "0"], &settings).await;
    assert_fails(&ran, 2, "--rate");
}

#[tokio::test]
async fn simulate_has_a_text_taken_whose_webhook_is_lost() {
    let (app, api) = TestApp::with_twilio(|database| database).await;
    let lost = [
        "simulate",
        "--lost",
        "--body",
        "Lost #text",
        "--from",
        NUMBER,
    ];
    let ran = run(&lost, &app.settings).await;
    assert_says(&ran, "no webhook");
    let received = api.received();
    let sid = ran.stdout.split_whitespace().next().unwrap();
    assert_eq!(received[0].sid, sid);
    assert_eq!(app.rows().await.messages, 0);

    let real = app
        .settings
        .clone()
        .with("TWILIO_API_BASE_URL", "https://api.twilio.com");
    assert_fails(&run(&lost, &real).await, 1, "simulated Twilio");
}
