use serde_json::{Value, json};

use super::*;

const OURS: &str = "+15005550006";

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

fn row(digit: char, sent: &str) -> Value {
    json!({
        "sid": format!("SM{}", digit.to_string().repeat(32)), "direction": "inbound",
        "from": "+14155550123", "to": OURS, "body": "hello", "num_media": "0",
        "num_segments": "1", "messaging_service_sid": null, "status": "received",
        "date_created": sent, "date_sent": sent,
    })
}

/// Takes pages as Twilio would return them, until the search breaks.
fn search(from: &str, until: &str, pages: &[Vec<Value>]) -> (Option<Vec<InboundRecord>>, usize) {
    let mut search = InboundSearch {
        to: OURS,
        from: at(from),
        until: at(until),
        found: Vec::new(),
        is_readable: true,
    };
    let mut read = 0;
    for page in pages {
        let page = json!({ "messages": page, "next_page_uri": null }).to_string();
        let page: MessagesPage = serde_json::from_str(&page).expect("a page");
        read += 1;
        if search.take(page.into_parts().0).is_break() {
            break;
        }
    }
    (search.is_readable.then_some(search.found), read)
}

fn sids(found: Option<Vec<InboundRecord>>) -> String {
    let found = found.expect("a readable list");
    found
        .iter()
        .map(|record| &record.sid.as_str()[2..3])
        .collect()
}

#[test]
fn rows_outside_the_range_to_others_and_from_us_are_dropped() {
    let mut elsewhere = row('6', "Thu, 24 Aug 2023 12:00:01 +0000");
    elsewhere["to"] = json!("+15005550007");
    let mut outbound = row('7', "Thu, 24 Aug 2023 12:00:01 +0000");
    outbound["direction"] = json!("outbound-api");
    let page = vec![
        row('1', "Thu, 24 Aug 2023 12:00:03 +0000"),
        row('2', "Thu, 24 Aug 2023 12:00:02 +0000"),
        row('3', "Thu, 24 Aug 2023 14:00:01 +0200"),
        row('4', "Thu, 24 Aug 2023 12:00:00 +0000"),
        row('5', "Thu, 24 Aug 2023 11:59:59 +0000"),
        elsewhere,
        outbound,
    ];
    let (found, _) = search("2023-08-24T12:00:00Z", "2023-08-24T12:00:03Z", &[page]);
    assert_eq!(sids(found), "234");
}

#[test]
fn the_search_ends_at_the_first_page_without_a_recent_row() {
    let new = "Thu, 24 Aug 2023 12:00:00 +0000";
    let old = "Thu, 24 Aug 2023 02:00:00 +0000";
    let pages = [
        vec![],
        vec![row('1', new), row('2', old)],
        vec![row('3', old), row('4', new)],
        vec![row('5', old)],
        vec![row('6', new)],
    ];
    let (found, read) = search("2023-08-24T11:00:00Z", "2023-08-24T13:00:00Z", &pages);
    assert_eq!((sids(found).as_str(), read), ("14", 4));
}

#[test]
fn a_row_that_twilio_leaves_incomplete_is_read_as_far_as_possible() {
    let mut bare = row('1', "Thu, 24 Aug 2023 12:00:00 +0000");
    for name in ["from", "body", "num_media", "num_segments", "date_sent"] {
        bare[name] = Value::Null;
    }
    let mut numbers = row('2', "Thu, 24 Aug 2023 12:00:00 +0000");
    numbers["num_media"] = json!(3);
    numbers["num_segments"] = json!("many");
    numbers["messaging_service_sid"] = json!("");
    let page = vec![bare, numbers];
    let (found, _) = search("2023-08-24T00:00:00Z", "2023-08-25T00:00:00Z", &[page]);
    let found = found.expect("a readable list");
    let facts = |r: &InboundRecord| (r.from.clone(), r.body.clone(), r.num_media, r.num_segments);
    assert_eq!(facts(&found[0]), (String::new(), None, 0, 0));
    assert_eq!(facts(&found[1]).2, 3);
    assert_eq!(found[1].messaging_service_sid, None);
}

#[test]
fn an_inbound_row_without_a_sid_or_date_makes_the_list_unreadable() {
    let day = ["2023-08-24T00:00:00Z", "2023-08-25T00:00:00Z"];
    for (name, value) in [("sid", json!("SM1")), ("date_sent", json!("yesterday"))] {
        let mut broken = row('1', "Thu, 24 Aug 2023 12:00:00 +0000");
        broken[name] = value;
        let (found, _) = search(day[0], day[1], &[vec![broken.clone()]]);
        assert_eq!(found, None, "{name}");
        // What is not for us need not be readable.
        broken["direction"] = json!("outbound-reply");
        let (found, _) = search(day[0], day[1], &[vec![broken]]);
        assert_eq!(found.map(|found| found.len()), Some(0), "{name}");
    }
}

#[test]
fn debug_shows_no_number_no_text_and_no_url() {
    let page = vec![row('1', "Thu, 24 Aug 2023 12:00:00 +0000")];
    let (found, _) = search("2023-08-24T00:00:00Z", "2023-08-25T00:00:00Z", &[page]);
    let media = MediaRecord {
        url: "https://api.twilio.com/secret".to_owned(),
        content_type: "image/png".to_owned(),
    };
    let shown = format!("{found:?} {media:?}");
    assert!(
        shown.contains("SM1111") && shown.contains("image/png"),
        "{shown}"
    );
    for hidden in ["555", "hello", "secret"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

proptest::proptest! {
    #[test]
    fn no_answer_makes_it_panic(body: Vec<u8>, text: String, date: String) {
        let read = |body: &[u8]| {
            drop(serde_json::from_slice::<MediaPage>(body));
            if let Ok(page) = serde_json::from_slice::<MessagesPage>(body) {
                let mut search = InboundSearch {
                    to: &text,
                    from: DateTime::<Utc>::MIN_UTC,
                    until: DateTime::<Utc>::MAX_UTC,
                    found: Vec::new(),
                    is_readable: true,
                };
                let _ended = search.take(page.into_parts().0);
            }
        };
        read(&body);
        let row = json!({ "sid": text, "direction": "inbound", "to": text, "num_media": text,
            "date_sent": date });
        read(json!({ "messages": [row], "next_page_uri": text }).to_string().as_bytes());
        let media = json!([{ "sid": text, "content_type": text }]);
        read(json!({ "media_list": media }).to_string().as_bytes());
    }
}

#[test]
fn newer_messages_do_not_count_towards_the_most_that_are_collected() {
    let newer = vec![row('1', "Thu, 24 Aug 2023 14:00:00 +0000"); 1000];
    let wanted = vec![row('2', "Thu, 24 Aug 2023 12:00:00 +0000"); 1000];
    let page = |rows: &[Value]| {
        let page = json!({ "messages": rows, "next_page_uri": null });
        let page: MessagesPage = serde_json::from_value(page).expect("a page");
        page.into_parts().0
    };
    let mut search = InboundSearch {
        to: OURS,
        from: at("2023-08-24T11:00:00Z"),
        until: at("2023-08-24T13:00:00Z"),
        found: Vec::new(),
        is_readable: true,
    };
    for _ in 0..60 {
        assert!(search.take(page(&newer)).is_continue());
    }
    for _ in 0..MAX_FOUND / 1000 {
        assert!(search.take(page(&wanted)).is_continue());
    }
    assert!(!search.is_too_long());
    assert!(search.take(page(&wanted)).is_break());
    assert!(search.is_too_long());
}
