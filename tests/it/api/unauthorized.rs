//! A request without a valid token gets the same refusal on every route.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ApiAnswer, ApiHarness, FREE, PATH, VERIFY, guess, number, tokens};

fn routes() -> [(Method, &'static str, Value); 4] {
    [
        (Method::POST, PATH, number(FREE)),
        (Method::POST, VERIFY, guess(FREE, "123456")),
        (Method::GET, PATH, Value::Null),
        (Method::DELETE, PATH, Value::Null),
    ]
}

/// Checks that every route refuses the request with the same sentence. Returns the sentence.
async fn assert_refused(
    api: &ApiHarness,
    what: &str,
    with: impl Fn(RequestBuilder) -> RequestBuilder,
) -> String {
    let mut sentences = Vec::new();
    for (method, path, body) in routes() {
        let request = with(api.request(method, path)).json(&body);
        let answer = ApiAnswer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 401, "{what}: {path}");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
        assert_eq!(answer.body.as_object().unwrap().len(), 1, "{what}");
        sentences.push(answer.body["error"].as_str().unwrap().to_owned());
    }
    sentences.dedup();
    assert_eq!(sentences.len(), 1, "{what}");
    sentences.remove(0)
}

#[tokio::test]
async fn without_a_bearer_token_every_route_names_what_is_missing() {
    let api = ApiHarness::start().await;
    let none = assert_refused(&api, "none", |request| request).await;
    assert_eq!(none, "No authorization header provided");
    for format in [
        "Bearer",
        "Basic dXNlcjpwYXNz",
        "Token a.b.c",
        "a.b.c",
        "Bearer a b",
    ] {
        let refused = assert_refused(&api, format, |request| {
            request.header("authorization", format)
        })
        .await;
        assert_eq!(refused, "Invalid authorization header format", "{format}");
    }
}

/// The claims of an existing user, changed.
fn changed(user: Uuid, change: impl Fn(&mut Value)) -> Value {
    let mut claims = tokens::claims(user);
    change(&mut claims);
    claims
}

fn bad_tokens(user: Uuid, secret: &str) -> Vec<(&'static str, String)> {
    let good = tokens::of(user, secret);
    let hs256 = |claims: Value| tokens::hs256(&claims, secret.as_bytes());
    let with = |change: fn(&mut Value)| hs256(changed(user, change));
    let (head, rest) = good.split_once('.').unwrap();
    let unsigned = {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let claims = rest.split_once('.').unwrap().0;
        [
            format!("{none}.{claims}."),
            format!("{none}.{claims}"),
            format!("{none}.{rest}"),
        ]
    };
    let [no_signature, two_parts, with_signature] = unsigned;
    let key = EncodingKey::from_secret(secret.as_bytes());
    let hs384 = tokens::signed(&Header::new(Algorithm::HS384), &tokens::claims(user), &key);
    let rsa = tokens::SigningKey::rsa("k1").token(&tokens::claims(user));
    let mut critical = Header::new(Algorithm::HS256);
    critical.crit = Some(vec!["b64".to_owned()]);
    let critical = tokens::signed(&critical, &tokens::claims(user), &key);
    vec![
        ("nothing of one", "x".to_owned()),
        ("alg none", no_signature),
        ("alg none, two parts", two_parts),
        ("alg none with a signature", with_signature),
        ("truncated", good[..good.len() - 5].to_owned()),
        (
            "without signature",
            good.rsplit_once('.').unwrap().0.to_owned(),
        ),
        ("changed", format!("{head}.{}", rest.replacen('e', "f", 1))),
        (
            "another secret",
            tokens::of(user, &secret.replace(|_| true, "x")),
        ),
        ("an empty secret", tokens::of(user, "")),
        ("HS384", hs384),
        ("RS256 without keys", rsa),
        ("a critical header", critical),
        (
            "expired",
            with(|claims| claims["exp"] = json!(tokens::from_now(-120))),
        ),
        (
            "exp as text",
            with(|claims| claims["exp"] = json!("9999999999")),
        ),
        ("exp below zero", with(|claims| claims["exp"] = json!(-1))),
        (
            "no exp",
            with(|claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        ),
        (
            "not yet",
            with(|claims| claims["nbf"] = json!(tokens::from_now(120))),
        ),
        ("nbf as text", with(|claims| claims["nbf"] = json!("soon"))),
        (
            "no user",
            with(|claims| drop(claims.as_object_mut().unwrap().remove("userId"))),
        ),
        (
            "no uuid",
            with(|claims| claims["userId"] = json!("1 or 1=1")),
        ),
        ("a number", with(|claims| claims["userId"] = json!(1))),
        ("nobody's", hs256(tokens::claims(Uuid::new_v4()))),
        ("no object", tokens::hs256(&json!([1]), secret.as_bytes())),
        (
            "very long",
            with(|claims| claims["more"] = json!("x".repeat(9000))),
        ),
    ]
}

#[tokio::test]
async fn every_route_refuses_every_invalid_token() {
    let api = ApiHarness::start().await;
    let (user, secret) = (api.app.user, api.app.settings.get("JWT_SECRET"));
    for (what, token) in bad_tokens(user, secret) {
        let refused = assert_refused(&api, what, |request| request.bearer_auth(&token)).await;
        assert_eq!(refused, "Invalid token", "{what}");
    }
    assert_eq!(api.sends().await, 0);
    assert_eq!(api.linked().show().await.status, 200);
}

#[tokio::test]
async fn the_user_is_read_from_userid_or_sub_and_a_small_clock_difference_is_accepted() {
    let api = ApiHarness::start().await;
    let (user, secret) = (api.app.user, api.app.settings.get("JWT_SECRET"));
    let status = async |claims: Value| {
        let token = tokens::hs256(&claims, secret.as_bytes());
        let request = api.request(Method::GET, PATH).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    let exp = tokens::from_now(60);
    assert_eq!(status(json!({ "sub": user, "exp": exp })).await, 200);
    let both = json!({ "userId": user, "sub": "somebody", "exp": exp });
    assert_eq!(status(both).await, 200);
    let bad_first = json!({ "userId": "somebody", "sub": user, "exp": exp });
    assert_eq!(status(bad_first).await, 401);
    let slow = json!({ "sub": user, "exp": tokens::from_now(-20), "nbf": tokens::from_now(20) });
    assert_eq!(status(slow).await, 200);
    assert_eq!(
        status(json!({ "sub": user, "exp": exp, "aud": "any" })).await,
        200
    );
}

#[tokio::test]
async fn issuer_and_audience_are_checked_if_they_are_configured() {
    let api = ApiHarness::with(&[
        ("JWT_ISSUER", "https://id.example.com"),
        ("JWT_AUDIENCE", "catchup"),
    ])
    .await;
    let (user, secret) = (api.app.user, api.app.settings.get("JWT_SECRET"));
    let exp = tokens::from_now(60);
    let (iss, aud) = ("https://id.example.com", "catchup");
    for (claims, expected) in [
        (
            json!({ "sub": user, "exp": exp, "iss": iss, "aud": aud }),
            200,
        ),
        (
            json!({ "sub": user, "exp": exp, "iss": iss, "aud": ["other", aud] }),
            200,
        ),
        (json!({ "sub": user, "exp": exp, "iss": iss }), 401),
        (json!({ "sub": user, "exp": exp, "aud": aud }), 401),
        (
            json!({ "sub": user, "exp": exp, "iss": iss, "aud": "other" }),
            401,
        ),
        (
            json!({ "sub": user, "exp": exp, "iss": "https://other.example.com", "aud": aud }),
            401,
        ),
        (
            json!({ "sub": user, "exp": exp, "iss": iss, "aud": [] }),
            401,
        ),
        (
            json!({ "sub": user, "exp": exp, "iss": 1, "aud": aud }),
            401,
        ),
    ] {
        let token = tokens::hs256(&claims, secret.as_bytes());
        let request = api.request(Method::GET, PATH).bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), expected, "{claims}");
    }
}
