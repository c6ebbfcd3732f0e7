use std::collections::BTreeMap;

use super::*;

fn env(values: &[(&str, &str)]) -> Env {
    let values: BTreeMap<_, _> = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Env::of(values)
}

fn read_all(env: &Env) -> Result<(), Mistakes> {
    Reader::read(env, |r| {
        let (database, keys) = (DatabaseConfig::read(r), keyring(r));
        let (receiver, worker) = (ReceiverConfig::read(r), WorkerConfig::read(r));
        let (process, log) = (ProcessConfig::read(r), LogConfig::read(r));
        database
            .and(keys)
            .and(receiver)
            .and(worker)
            .and(process)
            .and(log)
            .map(|_| ())
    })
}

const GOOD: &[(&str, &str)] = &[
    (
        "DATABASE_URL",
        "postgres://someone:s3cret@db.example.com/app",
    ),
    ("PUBLIC_BASE_URL", "https://Sms.Example.com/"),
    ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
    ("TWILIO_AUTH_TOKEN", "one,two"),
    (
        "ENCRYPTION_KEY",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ),
];

#[test]
fn all_mistakes_are_reported_at_once_with_names_and_corrections() {
    let mistakes = read_all(&env(&[
        ("LISTEN_ADDR", "localhost"),
        ("TWILIO_ACCOUNT_SID", "SK0123456789abcdef0123456789abcdef"),
        ("TWILIO_AUTH_TOKEN", "good,,two"),
        ("ENCRYPTION_KEY", "hunter2"),
        ("SMS_ENRICHMENT_ENABLED", "maybe"),
        ("MAX_MEDIA_SIZE_MB", "-1"),
        ("RUST_LOG", "  "),
    ]))
    .unwrap_err()
    .to_string();
    for expected in [
        "the configuration has 8 mistakes:",
        "DATABASE_URL is not set",
        "PUBLIC_BASE_URL is not set",
        "LISTEN_ADDR must be an IP address and a port, such as 127.0.0.1:3000",
        "TWILIO_ACCOUNT_SID must be AC and 32 hexadecimal digits",
        "TWILIO_AUTH_TOKEN is not usable",
        "ENCRYPTION_KEY is not usable",
        "SMS_ENRICHMENT_ENABLED must be true or false",
        "MAX_MEDIA_SIZE_MB must be a whole number above 0",
    ] {
        assert!(
            mistakes.contains(expected),
            "{expected:?} is missing in:\n{mistakes}"
        );
    }
}

#[test]
fn no_mistake_quotes_a_secret() {
    let mistakes = read_all(&env(&[
        ("DATABASE_URL", "postgres//someone:canary1@host"),
        ("TWILIO_AUTH_TOKEN", "SKcanary2"),
        ("ENCRYPTION_KEY", "canary3"),
        ("ENCRYPTION_KEYS_OLD", "canary4"),
    ]))
    .unwrap_err()
    .to_string();
    assert!(!mistakes.contains("canary"), "{mistakes}");
}

#[test]
fn a_complete_configuration_is_read_and_the_public_url_keeps_its_text() {
    let env = env(GOOD);
    read_all(&env).unwrap();
    let receiver = Reader::read(&env, ReceiverConfig::read).unwrap();
    assert_eq!(receiver.public_base_url, "https://Sms.Example.com");
    assert_eq!(receiver.twilio.auth_tokens.len(), 2);
    assert_eq!(receiver.listen.to_string(), "127.0.0.1:3000");
}

#[test]
fn debug_output_of_the_configuration_holds_no_secret() {
    let env = env(GOOD);
    let receiver = Reader::read(&env, ReceiverConfig::read).unwrap();
    let shown = format!("{env:?} {receiver:?}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("two"),
        "{shown}"
    );
}

#[test]
fn the_apps_own_database_variables_work_too() {
    let mut values = GOOD[1..].to_vec();
    values.extend([
        ("DATABASE_HOST", "db"),
        ("DATABASE_NAME", "app"),
        ("DATABASE_USER", "me"),
    ]);
    let env = env(&values);
    let database = Reader::read(&env, DatabaseConfig::read).unwrap();
    let [options] = database.servers.all() else {
        panic!("one server: {:?}", database.servers);
    };
    assert_eq!(options.get_host(), "db");
    assert_eq!(options.get_database(), Some("app"));
    assert_eq!(options.get_port(), 5432);
}

#[test]
fn each_host_of_a_database_url_is_a_server() {
    let servers = |url: &str| {
        let mut values = GOOD[1..].to_vec();
        values.push(("DATABASE_URL", url));
        let database = Reader::read(&env(&values), DatabaseConfig::read);
        database.map(|database| {
            let servers = database.servers.all().iter();
            let servers = servers.map(|options| {
                assert_eq!(options.get_database(), Some("app"));
                format!("{}:{}", options.get_host(), options.get_port())
            });
            servers.collect::<Vec<_>>().join(" ")
        })
    };
    for (url, expected) in [
        ("postgres://me:pw@one/app", "one:5432"),
        (
            "postgresql://me:p%2Cw@one:6432,two/app?sslmode=disable&target_session_attrs=read-write",
            "one:6432 two:5432",
        ),
        (
            "postgres://me@one,two:7,[::1]:8/app?target_session_attrs=any",
            "one:5432 two:7 [::1]:8",
        ),
    ] {
        assert_eq!(servers(url).unwrap(), expected, "{url}");
    }
    for url in [
        "postgres://me:s3cret@one,two/app?target_session_attrs=standby",
        "postgres://me:s3cret@one,two:no/app",
    ] {
        let mistakes = servers(url).unwrap_err().to_string();
        assert!(mistakes.contains("DATABASE_URL"), "{mistakes}");
        assert!(!mistakes.contains("s3cret"), "{mistakes}");
    }
}
