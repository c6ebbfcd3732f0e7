//! Each usual mistake in setting up a webhook is named, and a stranger's request names none.

#![expect(clippy::expect_used, reason = "helpers of tests may panic as tests do")]

use std::collections::HashSet;

use twilio::diagnosis::{Mistake, RefusedRequest, diagnose};
use twilio::signature::{AuthTokens, Body, Validator, sign};

const TOKEN: &str = "token";

fn validator(token: &str) -> Validator {
    Validator::new(&AuthTokens::new(vec![token.into()]).expect("a token"))
}

fn pairs() -> Vec<(String, String)> {
    vec![
        ("Body".to_owned(), "hello".to_owned()),
        ("From".to_owned(), "+14155550123".to_owned()),
    ]
}

/// What explains that Twilio signed `signed` and we checked `url`?
fn explain(url: &str, signed: &str, host: Option<&str>, target: Option<&str>) -> Option<Mistake> {
    let (pairs, validator) = (pairs(), validator(TOKEN));
    let signature = sign(TOKEN, signed, &pairs);
    let body = Body::Form(&pairs);
    assert!(
        validator.check(url, body, signature.as_bytes()).is_err(),
        "not a mistake: {signed}"
    );
    let refused = RefusedRequest {
        url,
        body,
        signature: signature.as_bytes(),
        host,
        target,
    };
    diagnose(&validator, None, &refused)
}

#[test]
fn each_usual_mistake_is_named() {
    let https = "https://h.example/in";
    for (url, signed, mistake) in [
        (https, "http://h.example/in", Mistake::HttpForHttps),
        (https, "http://h.example:80/in", Mistake::HttpForHttps),
        ("http://h.example/in", https, Mistake::HttpsForHttp),
        (https, "https://h.example:8443/in", Mistake::Port),
        (
            "https://h.example:1/in",
            "https://h.example:443/in",
            Mistake::Port,
        ),
        (https, "https://h.example/in/", Mistake::SlashMissing),
        ("https://h.example/in/", https, Mistake::SlashExtra),
        (
            "https://h.example",
            "https://h.example/",
            Mistake::SlashMissing,
        ),
        ("https://h.example/in?a=1", https, Mistake::QueryExtra),
        (
            "https://h.example/in#rc=3",
            "http://h.example/in",
            Mistake::HttpForHttps,
        ),
    ] {
        assert_eq!(
            explain(url, signed, None, None),
            Some(mistake),
            "{url} for {signed}"
        );
    }
}

#[test]
fn another_host_port_path_or_query_is_found_from_the_request() {
    let url = "https://h.example/in";
    let host = |host, signed| explain(url, signed, Some(host), Some("/in"));
    assert_eq!(
        host("other.example", "https://other.example/in"),
        Some(Mistake::Host)
    );
    assert_eq!(
        host("H.example", "https://H.example/in"),
        Some(Mistake::Host)
    );
    assert_eq!(
        host("h.example:9999", "https://h.example:9999/in"),
        Some(Mistake::Port)
    );
    assert_eq!(
        host("[::1]:9999", "https://[::1]:9999/in"),
        Some(Mistake::Host)
    );
    let target = |target, signed| explain(url, signed, Some("h.example"), Some(target));
    assert_eq!(
        target("/in?a=1", "https://h.example/in?a=1"),
        Some(Mistake::QueryMissing)
    );
    assert_eq!(target("/out", "https://h.example/out"), Some(Mistake::Path));
    assert_eq!(
        target("/out?a=1", "https://h.example/out?a=1"),
        Some(Mistake::Path)
    );
}

#[test]
fn a_retired_token_is_named_if_it_is_known() {
    let (pairs, url) = (pairs(), "https://h.example/in");
    let signature = sign("retired", url, &pairs);
    let refused = RefusedRequest {
        url,
        body: Body::Form(&pairs),
        signature: signature.as_bytes(),
        host: None,
        target: None,
    };
    let retired = validator("retired");
    assert_eq!(
        diagnose(&validator(TOKEN), Some(&retired), &refused),
        Some(Mistake::RetiredToken)
    );
    assert_eq!(diagnose(&validator(TOKEN), None, &refused), None);
}

#[test]
fn a_request_from_a_stranger_or_with_two_mistakes_has_no_explanation() {
    let url = "https://h.example/in";
    assert_eq!(explain(url, "http://h.example/in/", None, None), None);
    assert_eq!(
        explain(
            url,
            "https://other.example/in",
            Some("third.example"),
            Some("/in")
        ),
        None
    );
    let refused = RefusedRequest {
        url,
        body: Body::Form(&[]),
        signature: b"nonsense",
        host: None,
        target: None,
    };
    assert_eq!(diagnose(&validator(TOKEN), None, &refused), None);
}

#[test]
fn an_invalid_host_header_is_not_tried() {
    let long = format!("{}.example", "a".repeat(300));
    for host in [
        "",
        "other.example/in?x=",
        "user@other.example",
        "a b",
        &long,
    ] {
        let signed = format!("https://{host}/in");
        assert_eq!(
            explain("https://h.example/in", &signed, Some(host), None),
            None,
            "{host}"
        );
    }
}

#[test]
fn a_huge_request_is_not_diagnosed() {
    let pairs = vec![("Body".to_owned(), "x".repeat(20_000))];
    let signature = sign(TOKEN, "http://h.example/in", &pairs);
    let refused = RefusedRequest {
        url: "https://h.example/in",
        body: Body::Form(&pairs),
        signature: signature.as_bytes(),
        host: None,
        target: None,
    };
    assert_eq!(diagnose(&validator(TOKEN), None, &refused), None);
}

#[test]
fn every_mistake_has_a_label_and_a_text_of_its_own() {
    let all = [
        Mistake::HttpForHttps,
        Mistake::HttpsForHttp,
        Mistake::Port,
        Mistake::SlashMissing,
        Mistake::SlashExtra,
        Mistake::Host,
        Mistake::Path,
        Mistake::QueryMissing,
        Mistake::QueryExtra,
        Mistake::RetiredToken,
    ];
    let labels: HashSet<_> = all.iter().map(|m| m.label()).collect();
    let texts: HashSet<_> = all.iter().map(ToString::to_string).collect();
    assert_eq!((labels.len(), texts.len()), (all.len(), all.len()));
}
