//! Logs and metrics describe requests by route, user and outcome, and contain nothing of their
//! content.

use std::net::SocketAddr;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use store::{E164, sends};
use uuid::Uuid;

use super::{FREE, PATH, VERIFY, guess, number, request, tokens};
use crate::{
    database::{Database, NUMBER},
    process::Process,
    wait::{PATIENCE, eventually},
    webhook::client,
};

/// A part of an `Idempotency-Key`, which is the client's secret.
const KEY: &str = "canary-of-a-key";

async fn code_of_the_only_sms(database: &Database) -> String {
    let id: Uuid = sqlx::query_scalar("select id from pigeonhole.sends")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    let mut conn = database.pool.acquire().await.unwrap();
    let keyring = database.settings.keyring();
    let send = sends::load(&mut conn, &keyring, id).await.unwrap().unwrap();
    let (to, text): (E164, String) = send.message.unwrap();
    assert_eq!(to.as_str(), FREE);
    text.chars().filter(char::is_ascii_digit).take(6).collect()
}

async fn metrics(admin: SocketAddr) -> String {
    let response = client().get(format!("http://{admin}/metrics")).send().await;
    response.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn neither_logs_nor_metrics_contain_a_number_a_code_a_key_or_a_token() {
    let database = Database::create().await;
    sqlx::query("delete from user_phone_numbers")
        .execute(&database.pool)
        .await
        .unwrap();
    let settings = database.settings.clone().with("RUST_LOG", "debug");
    let (process, receiver) = Process::receiver("receiver", &settings).await;
    let admin = process.addr("admin listens").await;
    let secret = settings.get("JWT_SECRET");
    let token = tokens::of(database.user, secret);
    let forged = tokens::of(database.user, "another secret");
    let client = client();
    let ask = |method: Method, path: &str, token: &str| {
        request(&client, receiver, method, path).bearer_auth(token)
    };
    let status = async |request: RequestBuilder| request.send().await.unwrap().status().as_u16();

    let link = ask(Method::POST, PATH, &token).json(&number(FREE));
    assert_eq!(status(link.header("idempotency-key", KEY)).await, 201);
    let code = code_of_the_only_sms(&database).await;
    let bad = code.replace(|_| true, "7");
    for (path, token, body, expected) in [
        (PATH, &forged, number(FREE), 401),
        (PATH, &token, number(&format!("{FREE}x5")), 400),
        (PATH, &token, number(FREE), 429),
        (VERIFY, &token, guess(FREE, &bad), 400),
        (VERIFY, &token, guess(NUMBER, &bad), 400),
        (VERIFY, &token, guess(FREE, &code), 200),
        (PATH, &token, number(NUMBER), 409),
    ] {
        let request = ask(Method::POST, path, token).json(&body);
        assert_eq!(status(request).await, expected, "{path} {expected}");
    }
    assert_eq!(status(ask(Method::GET, PATH, &token)).await, 200);
    assert_eq!(status(ask(Method::DELETE, PATH, &token)).await, 204);

    let user = database.user.to_string();
    let unlinked = |line: &Value| {
        line["fields"]["outcome"] == "unlinked" && line["span"]["user"] == user.as_str()
    };
    eventually("the last request is in the log", PATIENCE, async || {
        process.lines().iter().any(unlinked).then_some(())
    })
    .await;
    // Without the timestamps, whose digits could match by chance.
    let told = process.lines().into_iter().map(|mut line| {
        line["timestamp"].take();
        line.to_string()
    });
    let (log, metrics) = (told.collect::<Vec<_>>().join("\n"), metrics(admin).await);
    let (_, signature) = token.rsplit_once('.').unwrap();
    for secret in [
        &FREE[2..],
        &NUMBER[2..],
        code.as_str(),
        KEY,
        secret,
        signature,
    ] {
        assert!(!log.contains(secret), "{secret:?} is in:\n{log}");
        assert!(!metrics.contains(secret), "{secret:?} is in:\n{metrics}");
    }
    assert!(!metrics.contains(&user), "{metrics}");
    for expected in [
        "pigeonhole_api_requests_total{route=\"link\",outcome=\"linked\"} 1",
        "pigeonhole_api_requests_total{route=\"link\",outcome=\"invalid_token\"} 1",
        "pigeonhole_api_requests_total{route=\"verify\",outcome=\"verification_failed\"} 2",
        "pigeonhole_api_requests_total{route=\"unlink\",outcome=\"unlinked\"} 1",
        "pigeonhole_verification_refusals_total{limit=\"resend_delay\"} 1",
    ] {
        assert!(
            metrics.contains(expected),
            "{expected} is missing in:\n{metrics}"
        );
    }
}
