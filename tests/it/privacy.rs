//! No phone number is stored or logged in clear.

mod captured_text;
mod linking;
mod needles;

use std::{fs, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use embedded_postgres::testing;
use uuid::Uuid;

use crate::{
    app::text,
    database::Database,
    process::{Process, run},
};
use needles::{Needles, encodings, hex};

/// A number, and its national notations.
struct SampleNumber {
    e164: String,
    national: Vec<String>,
}

fn numbers() -> Vec<SampleNumber> {
    let american = (0..40).map(|n| {
        let line = 3170 + n * 7;
        SampleNumber {
            e164: format!("+1212555{line}"),
            national: vec![
                format!("212555{line}"),
                format!("(212) 555-{line}"),
                format!("212-555-{line}"),
                format!("212.555.{line}"),
                format!("212 555 {line}"),
            ],
        }
    });
    let german = (0..10).map(|n| {
        let line = 23_125_017 + n * 9;
        SampleNumber {
            e164: format!("+4930{line}"),
            national: vec![
                format!("030{line}"),
                format!("030 {line}"),
                format!("30{line}"),
            ],
        }
    });
    american.chain(german).collect()
}

/// Every notation and encoding of the number.
fn forms(number: &SampleNumber) -> Vec<String> {
    let digits = number.e164.trim_start_matches('+');
    let mut plain = number.national.clone();
    plain.extend([number.e164.clone(), digits.to_owned()]);
    let mut forms: Vec<String> = plain.iter().flat_map(|text| encodings(text)).collect();
    forms.extend([format!("%2B{digits}"), format!("%2b{digits}")]);
    forms
}

/// A search for all of these numbers.
fn in_any_form<'a>(numbers: impl IntoIterator<Item = &'a SampleNumber>) -> Needles {
    Needles::new(numbers.into_iter().flat_map(forms))
}

/// A dump of the database without the migrations' table.
fn dump(database: &Database) -> String {
    let dump = Command::new(testing::server().bin_dir().join("pg_dump"))
        .arg("--exclude-table-data=pigeonhole._sqlx_migrations")
        .arg(database.settings.get("DATABASE_URL"))
        .output()
        .unwrap();
    assert!(dump.status.success());
    String::from_utf8(dump.stdout).unwrap()
}

/// Postgres's log, of all tests.
fn log_of_postgres() -> String {
    fs::read_to_string(testing::server().log_path()).unwrap()
}

#[tokio::test]
async fn no_phone_number_is_stored_or_logged_in_clear() {
    let numbers = numbers();
    let database = Database::create().await.with("RUST_LOG", "debug");
    let (receiver, addr) = Process::receiver("receiver", &database.settings).await;
    let worker = Process::start("worker", &database.settings);
    let twilio = database.settings.twilio(addr);
    let mut logs = String::new();
    let mut sids = Vec::new();
    for (at, number) in numbers.iter().enumerate() {
        if at % 2 == 0 {
            let user = Uuid::new_v4().to_string();
            let link = [
                "phone-numbers",
                "link",
                "--create-user",
                "--user",
                &user,
                &number.e164,
            ];
            let ran = run(&link, &database.settings).await;
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            logs += &ran.stdout;
            logs += &ran.stderr;
        }
        let delivery = twilio
            .deliver(&text(&number.e164, "Hello #privacy"))
            .await
            .unwrap();
        assert_eq!(delivery.status, 200);
        sids.push(delivery.message_sid);
    }
    // The log of a refusal contains a reason, which must not quote the message.
    for broken in [
        ("MessageSid", "SM1"),
        ("NumMedia", "two"),
        ("AccountSid", "AC1"),
    ] {
        let broken = (broken.0.to_owned(), broken.1.to_owned());
        let mut text = text(&numbers[0].e164, "Hello");
        text.fields = vec![broken];
        assert_eq!(twilio.deliver(&text).await.unwrap().status, 400);
    }
    for (sid, at) in sids.iter().zip(0..) {
        let expected = if at % 2 == 0 {
            "processed"
        } else {
            "ignored_unlinked"
        };
        assert_eq!(database.wait_until_ended(sid).await, expected);
    }

    let dump = dump(&database);
    logs += &receiver.log();
    logs += &worker.log();
    // The dump and the logs contain what they should, so the search would also find what they
    // should not contain.
    for sid in &sids {
        assert!(dump.contains(sid) && logs.contains(sid));
    }
    assert!(dump.contains("Hello #privacy") && logs.contains("DEBUG"));
    let numbers = in_any_form(&numbers);
    numbers.assert_none_in("the dump", &dump);
    numbers.assert_none_in("a log", &logs);
    assert!(!logs.contains("Hello #privacy"), "a log holds a message");
    numbers.assert_none_in("the log of Postgres", &log_of_postgres());
}

#[test]
fn the_search_finds_a_number_in_every_encoding() {
    let number = &numbers()[3];
    let leak = format!("From={}&Body=x", number.e164);
    for haystack in [
        leak.clone(),
        leak.replace('+', "%2B"),
        hex(&leak),
        STANDARD_NO_PAD.encode(&leak),
        STANDARD_NO_PAD.encode(format!(".{leak}")),
        STANDARD_NO_PAD.encode(format!("..{leak}")),
    ] {
        assert!(
            forms(number).iter().any(|form| haystack.contains(form)),
            "{haystack}"
        );
    }
}
