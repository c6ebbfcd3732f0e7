//! The rules of the signature, one by one, and a storm of requests that were tampered with.

#![expect(clippy::expect_used, reason = "helpers of tests may panic as tests do")]

use proptest::prelude::*;
use twilio::signature::{AuthTokens, AuthTokensError, Body, InvalidSignature, Validator, sign};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const URL: &str = "https://sms.example.com/in?a=1";

type Pairs = Vec<(String, String)>;

fn validator(tokens: &[&str]) -> Validator {
    let tokens = tokens.iter().map(|&t| t.into()).collect();
    Validator::new(&AuthTokens::new(tokens).expect("tokens"))
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter()
        .map(|&(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}

fn ours() -> Pairs {
    pairs(&[
        ("From", "+14155550123"),
        ("Body", "hello"),
        ("MessageSid", "SM1"),
        ("NumMedia", "0"),
    ])
}

/// Is a request for `url` good when Twilio signed `signed_url`?
fn accepts(url: &str, signed_url: &str) -> bool {
    let signature = sign(TOKEN, signed_url, &ours());
    validator(&[TOKEN])
        .check(url, Body::Form(&ours()), signature.as_bytes())
        .is_ok()
}

#[test]
fn a_signature_by_any_of_several_tokens_is_accepted() {
    let both = validator(&["old", "new"]);
    for token in ["old", "new"] {
        let signature = sign(token, URL, &ours());
        assert_eq!(
            both.check(URL, Body::Form(&ours()), signature.as_bytes()),
            Ok(())
        );
    }
    let other = sign("other", URL, &ours());
    assert_eq!(
        both.check(URL, Body::Form(&ours()), other.as_bytes()),
        Err(InvalidSignature::Mismatch)
    );
}

#[test]
fn no_token_and_a_blank_token_are_refused() {
    assert_eq!(
        AuthTokens::new(vec![]).expect_err("none"),
        AuthTokensError::Empty
    );
    for token in ["", " ", "abc\n"] {
        let tokens = AuthTokens::new(vec![TOKEN.into(), token.into()]);
        assert_eq!(tokens.expect_err("blank"), AuthTokensError::Blank);
    }
}

#[test]
fn debug_shows_no_token() {
    let tokens = AuthTokens::new(vec![TOKEN.into()]).expect("tokens");
    assert_eq!(format!("{tokens:?}"), "AuthTokens([sealed]; 1)");
    assert_eq!(
        format!("{:?}", Validator::new(&tokens)),
        "Validator([sealed]; 1)"
    );
}

#[test]
fn the_order_of_parameters_and_a_repeated_pair_do_not_matter() {
    let signature = sign(TOKEN, URL, &pairs(&[("A", "2"), ("A", "1"), ("B", "é👋")]));
    let same = pairs(&[("B", "é👋"), ("A", "1"), ("A", "2"), ("A", "1")]);
    assert_eq!(
        validator(&[TOKEN]).check(URL, Body::Form(&same), signature.as_bytes()),
        Ok(())
    );
    for other in [
        pairs(&[("A", "1"), ("B", "é👋")]),
        pairs(&[("A", "2"), ("A", "1"), ("B", "e\u{301}👋")]),
        pairs(&[("A", "2"), ("A", "1"), ("B", "é👋 ")]),
        pairs(&[("A", "2"), ("A", "1"), ("b", "é👋")]),
    ] {
        let answer = validator(&[TOKEN]).check(URL, Body::Form(&other), signature.as_bytes());
        assert_eq!(answer, Err(InvalidSignature::Mismatch));
    }
}

#[test]
fn a_url_with_and_without_a_port_is_accepted() {
    assert!(accepts("https://h:8443/a", "https://h:8443/a"));
    assert!(accepts("https://h:8443/a", "https://h/a"));
    assert!(accepts("https://h/a", "https://h:443/a"));
    assert!(accepts("http://h/a", "http://h:80/a"));
    assert!(!accepts("https://h/a", "https://h:8443/a"));
    assert!(!accepts("https://h/a", "https://h:80/a"));
    assert!(!accepts("https://h:8443/a", "https://h:443/a"));
}

#[test]
fn an_ipv6_host_keeps_its_colons() {
    assert!(accepts(
        "https://[2001:db8::1]:8443/a",
        "https://[2001:db8::1]/a"
    ));
    assert!(accepts(
        "https://[2001:db8::1]/a",
        "https://[2001:db8::1]:443/a"
    ));
    assert!(!accepts("https://[2001:db8::1]:8443/a", "https://[/a"));
}

#[test]
fn a_url_with_and_without_user_and_password_is_accepted() {
    let url = "https://user:pass@h:8443/a";
    for signed in [
        url,
        "https://user:pass@h/a",
        "https://h:8443/a",
        "https://h/a",
    ] {
        assert!(accepts(url, signed), "{signed}");
    }
    assert!(!accepts(url, "https://user/a"));
    assert!(!accepts("https://h/a", "https://user:pass@h/a"));
}

#[test]
fn a_fragment_is_not_signed() {
    assert!(accepts("https://h/a#rc=3&rp=all", "https://h/a"));
    assert_eq!(
        sign(TOKEN, "https://h/a#rc=3", &ours()),
        sign(TOKEN, "https://h/a", &ours())
    );
}

#[test]
fn a_quote_in_the_query_may_be_escaped_and_one_in_the_path_may_not() {
    assert!(accepts("https://h/a?q='x", "https://h/a?q=%27x"));
    assert!(accepts("https://h/a?q=%27x", "https://h/a?q='x"));
    assert!(!accepts("https://h/it's", "https://h/it%27s"));
}

#[test]
fn the_url_must_match_exactly() {
    for signed in [
        "https://H/a",
        "HTTPS://h/a",
        "http://h/a",
        "https://h/a/",
        "https://h/A",
        "https://h/a?",
    ] {
        assert!(!accepts("https://h/a", signed), "{signed}");
    }
}

#[test]
fn an_invalid_signature_text_is_refused_without_a_panic() {
    let good = sign(TOKEN, URL, &ours());
    let longer = format!("{good}=");
    // The last character of 27 carries two bits that are not part of the MAC.
    let mut twin = good.clone().into_bytes();
    twin[26] += 1;
    for signature in [
        b"".as_slice(),
        b"=",
        b"fake",
        &[0xff; 28],
        &good.as_bytes()[..27],
        longer.as_bytes(),
        &twin,
    ] {
        let answer = validator(&[TOKEN]).check(URL, Body::Form(&ours()), signature);
        assert_eq!(
            answer,
            Err(InvalidSignature::NotASignature),
            "{signature:?}"
        );
    }
}

#[test]
fn a_body_that_is_not_a_form_must_match_the_hash_in_the_url() {
    // printf '{"a":1}' | sha256sum
    let hash = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
    let check = |url: &str, body: &[u8]| {
        validator(&[TOKEN]).check(url, Body::Json(body), sign(TOKEN, url, &[]).as_bytes())
    };
    let url = format!("https://h/a?x=1&bodySHA256={hash}");
    assert_eq!(check(&url, br#"{"a":1}"#), Ok(()));
    assert_eq!(
        check(&url, br#"{"a":2}"#),
        Err(InvalidSignature::BodyHashMismatch)
    );
    assert_eq!(
        check(&url[..url.len() - 1], br#"{"a":1}"#),
        Err(InvalidSignature::BodyHashMismatch)
    );
    assert_eq!(
        check("https://h/a?x=1", br#"{"a":1}"#),
        Err(InvalidSignature::BodyHashMissing)
    );
    assert_eq!(
        check(&format!("{url}&bodySHA256={hash}"), br#"{"a":1}"#),
        Err(InvalidSignature::BodyHashMissing)
    );
    let wrong = validator(&[TOKEN]).check(
        &url,
        Body::Json(br#"{"a":1}"#),
        sign("x", &url, &[]).as_bytes(),
    );
    assert_eq!(wrong, Err(InvalidSignature::Mismatch));
}

#[test]
fn a_form_stays_a_form_even_if_its_url_has_a_body_hash() {
    let url = "https://h/a?bodySHA256=00";
    let signature = sign(TOKEN, url, &ours());
    assert_eq!(
        validator(&[TOKEN]).check(url, Body::Form(&ours()), signature.as_bytes()),
        Ok(())
    );
}

/// A generator good enough to choose mutations with, and the same on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % n
    }

    /// Puts another ASCII character somewhere into `text`.
    fn flip(&mut self, text: &mut String) {
        let at = self.below(text.len());
        let old = text.as_bytes()[at];
        let shift = u8::try_from(1 + self.below(127)).expect("below 128");
        let new = char::from((old + shift) % 128);
        text.replace_range(at..=at, new.encode_utf8(&mut [0; 4]));
    }
}

/// Why each mutation is really another request. The URL has neither quote, port nor user info, so
/// each form tried for a mutant of the same length is the mutant itself, longer (a port added) or
/// shorter (a port, user info or fragment taken away, at most `%27` for `'` besides); a shorter one
/// can only be the original if the mutation added what was taken, which one replaced character
/// cannot. In parameters, one replaced character changes which characters are signed, and no two
/// parameters share a name.
#[test]
fn of_100_000_requests_tampered_with_none_is_accepted() {
    let validator = validator(&[TOKEN]);
    let original = pairs(&[("From", "+1415555"), ("Body", "hello"), ("To", "12345")]);
    let signature = sign(TOKEN, URL, &original);
    let mut dice = Dice(1);
    let mut accepted = Vec::new();
    for round in 0..100_000 {
        let (mut url, mut pairs, mut signature) =
            (URL.to_owned(), original.clone(), signature.clone());
        let pair = dice.below(pairs.len());
        match round % 8 {
            0 => dice.flip(&mut signature),
            1 => signature.truncate(dice.below(28)),
            2 => dice.flip(&mut url),
            3 => dice.flip(&mut pairs[pair].0),
            4 => dice.flip(&mut pairs[pair].1),
            5 => drop(pairs.swap_remove(pair)),
            6 => pairs.push((format!("X{}", dice.below(1000)), String::new())),
            _ => pairs[pair].1.push(char::from(
                b' ' + u8::try_from(dice.below(95)).expect("below 95"),
            )),
        }
        if validator
            .check(&url, Body::Form(&pairs), signature.as_bytes())
            .is_ok()
        {
            accepted.push((url, pairs, signature));
        }
    }
    assert!(
        accepted.is_empty(),
        "{} accepted, such as {:?}",
        accepted.len(),
        accepted[0]
    );
}

proptest! {
    #[test]
    fn a_signature_by_twilio_is_accepted_and_one_by_another_token_is_not(
        target in "[a-z0-9/]{0,20}(\\?[a-z0-9=&%']{0,20})?",
        pairs in prop::collection::vec((".{0,8}", ".{0,20}"), 0..8),
    ) {
        let url = format!("https://h.example/{target}");
        let signature = sign(TOKEN, &url, &pairs);
        let body = Body::Form(&pairs);
        prop_assert_eq!(validator(&[TOKEN]).check(&url, body, signature.as_bytes()), Ok(()));
        let answer = validator(&["other"]).check(&url, body, signature.as_bytes());
        prop_assert_eq!(answer, Err(InvalidSignature::Mismatch));
    }

    #[test]
    fn any_text_for_a_url_and_any_bytes_for_a_signature_are_refused(
        url in ".{0,40}|https?://[\\[\\]:@a-z0-9]{0,12}[/?#'%]{0,6}",
        signature in prop::collection::vec(any::<u8>(), 0..40),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let validator = validator(&[TOKEN]);
        prop_assert!(validator.check(&url, Body::Form(&[]), &signature).is_err());
        prop_assert!(validator.check(&url, Body::Json(&body), &signature).is_err());
        let well_formed = sign("other", &url, &[]);
        prop_assert!(validator.check(&url, Body::Form(&[]), well_formed.as_bytes()).is_err());
    }
}
