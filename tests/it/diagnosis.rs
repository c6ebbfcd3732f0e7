//! A usual mistake makes the signature wrong: the webhook is refused, and the log names the likely
//! mistake.

use reqwest::header;
use twilio::signature;

use crate::{
    app::text,
    database::{Database, NUMBER},
    process::Process,
    settings::{PUBLIC_BASE_URL, WEBHOOK, hex},
    wait::{PATIENCE, eventually},
    webhook::{encode, webhook},
};

#[tokio::test]
async fn the_log_names_the_likely_cause_of_a_wrong_signature() {
    let retired = hex();
    let database = Database::create()
        .await
        .with("TWILIO_AUTH_TOKENS_RETIRED", &retired);
    let (process, addr) = Process::receiver("receiver", &database.settings).await;
    let parameters = database
        .settings
        .twilio(addr)
        .parameters(&text(NUMBER, "Hello"));
    let token = database.settings.get("TWILIO_AUTH_TOKEN");
    let right = format!("{PUBLIC_BASE_URL}{WEBHOOK}");

    for (at, (token, url, reason, hint)) in [
        (
            token,
            format!("http://sms.example.com{WEBHOOK}"),
            "http_for_https",
            "http://",
        ),
        (
            token,
            format!("https://sms.example.com:8443{WEBHOOK}"),
            "port",
            "port",
        ),
        (token, format!("{right}/"), "slash_missing", "slash"),
        (
            token,
            format!("https://hooks.example.com{WEBHOOK}"),
            "host",
            "host",
        ),
        (
            &retired,
            right.clone(),
            "retired_token",
            "TWILIO_AUTH_TOKENS_RETIRED",
        ),
        (&hex(), right.clone(), "mismatch", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let signature = signature::sign(token, &url, &parameters);
        let response = webhook(addr, &signature, encode(&parameters))
            .header(header::HOST, "hooks.example.com")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 403, "{reason}");
        assert_eq!(response.text().await.unwrap(), "Forbidden", "{reason}");
        let line = eventually("a refusal in the log", PATIENCE, async || {
            let mut lines = process.lines();
            lines.retain(|line| line["fields"]["message"] == "webhook refused");
            lines.into_iter().nth(at)
        })
        .await;
        assert_eq!(line["fields"]["reason"], reason);
        let cause = line["fields"]["likely_cause"].as_str().unwrap_or_default();
        assert!(cause.contains(hint), "{reason}: {cause}");
        assert_eq!(cause.is_empty(), hint.is_empty(), "{reason}: {cause}");
    }
    assert_eq!(database.rows().await.messages, 0);
    let log = process.log();
    assert!(!log.contains(&retired) && !log.contains(token), "{log}");
}
