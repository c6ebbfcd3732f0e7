//! Tokens signed with the keys of an identity provider.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time};

use super::{
    ApiHarness, PATH,
    tokens::{self, SigningKey},
};
use crate::{
    wait::{PATIENCE, eventually},
    webhook::client,
};

impl ApiHarness {
    async fn status_with(&self, token: &str) -> u16 {
        let request = self.request(Method::GET, PATH).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    }
}

fn file(set: &Value) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), set.to_string()).unwrap();
    file
}

#[tokio::test]
async fn keys_from_a_file_verify_the_tokens_that_name_them() {
    let (rsa, ec, foreign_key) = (
        SigningKey::rsa("r1"),
        SigningKey::ec("e1"),
        SigningKey::rsa("r1"),
    );
    let file = file(&tokens::jwks(&[&rsa, &ec]));
    let api = ApiHarness::with(&[("JWT_JWKS", file.path().to_str().unwrap())]).await;
    let claims = tokens::claims(api.app.user);
    for key in [&rsa, &ec] {
        assert_eq!(api.status_with(&key.token(&claims)).await, 200);
        // A token may omit the key id if only one key has its algorithm.
        assert_eq!(api.status_with(&key.anonymous_token(&claims)).await, 200);
    }
    assert_eq!(api.status_with(&foreign_key.token(&claims)).await, 401);
    assert_eq!(
        api.status_with(&SigningKey::ec("unknown").token(&claims))
            .await,
        401
    );
    let expired = json!({ "userId": api.app.user, "exp": tokens::from_now(-60) });
    assert_eq!(api.status_with(&rsa.token(&expired)).await, 401);
    // Tokens signed with the app's own secret still work.
    assert_eq!(api.linked().show().await.status, 200);
}

#[tokio::test]
async fn a_public_key_is_not_accepted_as_a_secret_and_a_keys_type_decides_its_algorithm() {
    let (rsa, ec) = (SigningKey::rsa("r1"), SigningKey::ec("e1"));
    let file = file(&tokens::jwks(&[&rsa, &ec]));
    let api = ApiHarness::with(&[("JWT_JWKS", file.path().to_str().unwrap())]).await;
    let claims = tokens::claims(api.app.user);
    let modulus = rsa.jwk()["n"].as_str().unwrap().to_owned();
    let decoded = URL_SAFE_NO_PAD.decode(&modulus).unwrap();
    let jwk = rsa.jwk().to_string();
    for secret in [modulus.as_bytes(), &decoded, jwk.as_bytes()] {
        assert_eq!(api.status_with(&tokens::hs256(&claims, secret)).await, 401);
    }
    // RS256 with the EC key's id, and ES256 with the RSA key's id.
    let swapped = [(SigningKey::rsa("e1")), (SigningKey::ec("r1"))];
    for key in &swapped {
        assert_eq!(api.status_with(&key.token(&claims)).await, 401);
    }
    // Headers that contain a key, or name the URL of one.
    let forger = SigningKey::rsa("r1");
    for mut header in [
        json!({ "jwk": forger.jwk() }),
        json!({ "jku": "https://evil.example.com" }),
    ] {
        header["alg"] = json!("RS256");
        header["kid"] = json!("r1");
        let head = URL_SAFE_NO_PAD.encode(header.to_string());
        let (_, rest) = forger
            .token(&claims)
            .split_once('.')
            .map(|(h, r)| (h.to_owned(), r.to_owned()))
            .unwrap();
        assert_eq!(api.status_with(&format!("{head}.{rest}")).await, 401);
    }
}

/// An identity provider: its response, and the number of requests it got.
#[derive(Clone)]
struct KeyProvider {
    answer: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
    addr: SocketAddr,
}

impl KeyProvider {
    async fn start(set: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            answer: Arc::new(Mutex::new((StatusCode::OK, set.to_string()))),
            asked: Arc::default(),
            addr: listener.local_addr().unwrap(),
        };
        let shared = provider.clone();
        let keys = get(async move || {
            shared.asked.fetch_add(1, Ordering::Relaxed);
            shared.answer.lock().unwrap().clone()
        });
        tokio::spawn(async move {
            axum::serve(listener, Router::new().route("/keys", keys))
                .await
                .ok();
        });
        provider
    }

    fn request_count(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn answers(&self, status: StatusCode, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    async fn api(&self) -> ApiHarness {
        ApiHarness::with(&[("JWT_JWKS", &format!("http://{}/keys", self.addr))]).await
    }
}

#[tokio::test]
async fn keys_from_a_url_are_read_at_start_and_unknown_key_ids_refetch_once_a_minute() {
    let key = SigningKey::ec("e1");
    let provider = KeyProvider::start(&tokens::jwks(&[&key])).await;
    let api = provider.api().await;
    let claims = tokens::claims(api.app.user);
    assert_eq!(api.status_with(&key.token(&claims)).await, 200);
    assert_eq!(provider.request_count(), 1);
    for n in 0..20 {
        let unknown = SigningKey::ec(&format!("unknown-{n}"));
        assert_eq!(api.status_with(&unknown.token(&claims)).await, 401);
    }
    assert_eq!(provider.request_count(), 1); // it was asked less than a minute ago
    assert_eq!(api.status_with(&key.token(&claims)).await, 200);

    // The provider changes its keys.
    let next = SigningKey::rsa("r2");
    provider.answers(StatusCode::OK, &tokens::jwks(&[&next]).to_string());
    assert_eq!(api.status_with(&next.token(&claims)).await, 401);
    time::pause();
    time::advance(Duration::from_secs(61)).await;
    time::resume();
    let api = ApiHarness {
        client: client(), // the connections of the other one have been idle for a minute now
        ..api
    };
    let asks = (0..10).map(|_| async { api.status_with(&next.token(&claims)).await });
    assert_eq!(join_all(asks).await, [200; 10]);
    assert_eq!(provider.request_count(), 2);
    assert_eq!(api.status_with(&key.token(&claims)).await, 401);
}

#[tokio::test]
async fn requests_get_503_until_the_keys_are_available_and_then_succeed() {
    let key = SigningKey::ec("e1");
    let set = tokens::jwks(&[&key]);
    let huge = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300_000));
    let cases = [
        (StatusCode::INTERNAL_SERVER_ERROR, set.to_string()),
        (StatusCode::FOUND, set.to_string()),
        (StatusCode::OK, "<html>".to_owned()),
        (StatusCode::OK, huge),
    ];
    // All cases at once: each waits for the next request to its provider.
    join_all(cases.map(async |(status, body)| {
        let provider = KeyProvider::start(&set).await;
        provider.answers(status, &body);
        let api = provider.api().await;
        let token = key.token(&tokens::claims(api.app.user));
        let request = api.request(Method::GET, PATH).bearer_auth(&token);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
        // Tokens of the app do not need the provider.
        assert_eq!(api.linked().show().await.status, 200);
        provider.answers(StatusCode::OK, &set.to_string());
        eventually("the keys are loaded", PATIENCE, async || {
            (api.status_with(&token).await == 200).then_some(())
        })
        .await;
        // The keys stay available while the provider is away.
        provider.answers(StatusCode::BAD_GATEWAY, "");
        assert_eq!(api.status_with(&token).await, 200);
    }))
    .await;
}
