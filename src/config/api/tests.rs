use std::collections::BTreeMap;

use super::*;
use crate::config::{Env, Mistakes};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn read(settings: &[(&str, &str)]) -> Result<Option<ApiConfig>, Mistakes> {
    let values: BTreeMap<_, _> = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Reader::read(&Env::of(values), ApiConfig::read)
}

/// The API is on; these are its other settings.
fn on(settings: &[(&str, &str)]) -> Result<ApiConfig, Mistakes> {
    let mut all = vec![
        ("JWT_SECRET", SECRET),
        ("TWILIO_PHONE_NUMBER", "+15005550006"),
    ];
    all.extend(settings);
    read(&all).map(Option::unwrap)
}

#[test]
fn without_a_way_to_check_tokens_the_api_is_off() {
    assert!(read(&[]).unwrap().is_none());
    let issuer_only = read(&[("JWT_ISSUER", "https://id.example.com")]);
    assert!(issuer_only.unwrap().is_none());
    // Mistakes are reported in any case.
    assert!(read(&[("TRUSTED_PROXIES", "everybody")]).is_err());
}

#[test]
fn the_defaults_are_cautious() {
    let config = on(&[]).unwrap();
    assert!(config.origins.is_empty() && config.trusted_proxies.is_empty());
    let sms = config.verification;
    assert_eq!(sms.code_life.as_secs(), 600);
    assert_eq!(format!("{:?}", sms.countries), "[US, CA]");
    let limits = (sms.per_ip, sms.per_prefix, sms.per_country, sms.per_day);
    assert_eq!(limits, (10, 20, 200, 1000));
    assert!(!format!("{:?}", config.tokens).contains(SECRET));
}

#[test]
fn lists_of_origins_and_networks_are_parsed() {
    let config = on(&[
        (
            "CORS_ALLOWED_ORIGINS",
            "https://App.Example.com:443, http://localhost:5173",
        ),
        ("TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32,192.0.2.7"),
        ("VERIFICATION_COUNTRIES", "us, De"),
        ("VERIFICATION_DAILY_BUDGET", "0"),
    ])
    .unwrap();
    assert_eq!(
        config.origins,
        ["https://app.example.com", "http://localhost:5173"]
    );
    let proxies: Vec<String> = config
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]);
    assert_eq!(format!("{:?}", config.verification.countries), "[US, DE]");
    assert_eq!(config.verification.per_day, 0);
}

#[test]
fn each_mistake_is_reported_by_name_without_secrets() {
    let long = format!("{{code}}{}", "x".repeat(155));
    let curly = format!("{{code}} ’{}", "x".repeat(63));
    for (name, values) in [
        ("JWT_SECRET", vec!["short-canary"]),
        (
            "JWT_JWKS",
            vec![
                "/nowhere/jwks.json",
                "ftp://id.example.com",
                "https://",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ],
        ),
        (
            "CORS_ALLOWED_ORIGINS",
            vec![
                "*",
                "null",
                "app.example.com",
                "https://a.example.com/",
                "https://a.example.com/x",
                "https://a.example.com,",
                "https://me@a.example.com",
                "https://a.example.com?x",
            ],
        ),
        (
            "TRUSTED_PROXIES",
            vec!["10.0.0.0/33", "proxy.example.com", "10.0.0.1,"],
        ),
        (
            "VERIFICATION_CODE_EXPIRY_MINUTES",
            vec!["0", "61", "-1", "ten"],
        ),
        (
            "VERIFICATION_MESSAGE",
            vec![
                "no code",
                "{code} {name}",
                &long,
                &curly,
                "{code}\nsecond line",
            ],
        ),
        ("VERIFICATION_COUNTRIES", vec!["USA", "US,", "XX", "1"]),
        (
            "VERIFICATION_IP_HOURLY_LIMIT",
            vec!["-1", "many", "4294967296"],
        ),
        ("VERIFICATION_PREFIX_HOURLY_LIMIT", vec!["-1"]),
        ("VERIFICATION_COUNTRY_HOURLY_LIMIT", vec!["-1"]),
        ("VERIFICATION_DAILY_BUDGET", vec!["-1"]),
    ] {
        for value in values {
            let mistakes = on(&[(name, value)]).unwrap_err().to_string();
            assert!(
                mistakes.contains("has 1 mistake:"),
                "{name}={value}: {mistakes}"
            );
            assert!(
                mistakes.contains(&format!("\n  {name} ")),
                "{name}={value}: {mistakes}"
            );
            assert!(!mistakes.contains("canary"), "{mistakes}");
        }
    }
}

#[test]
fn an_api_without_a_number_to_send_from_is_a_mistake_that_names_both_settings() {
    let mistakes = read(&[("JWT_SECRET", SECRET)]).unwrap_err().to_string();
    assert!(
        mistakes.contains("TWILIO_PHONE_NUMBER is not set"),
        "{mistakes}"
    );
    assert!(
        mistakes.contains("TWILIO_MESSAGING_SERVICE_SID"),
        "{mistakes}"
    );
    let service = format!("MG{SECRET}");
    let settings = [
        ("JWT_SECRET", SECRET),
        ("TWILIO_MESSAGING_SERVICE_SID", service.as_str()),
    ];
    assert!(read(&settings).unwrap().is_some());
}

#[test]
fn the_verification_message_fits_one_sms_in_any_language() {
    let fits = format!("{{code}}{}", "x".repeat(154));
    let german = "Dein Code: {code}. Er gilt {minutes} Minuten, für dich allein";
    let russian = "Ваш код: {code}. Он действует {minutes} минут";
    for message in [fits.as_str(), german, russian, "{code}"] {
        let config = on(&[("VERIFICATION_MESSAGE", message)]).unwrap();
        let text = config.verification.text("123456", 10);
        assert!(text.contains("123456") && !text.contains('{'), "{text}");
    }
}
