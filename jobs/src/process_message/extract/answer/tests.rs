use proptest::prelude::*;
use store::enrichment_items::ItemType;

use super::*;

fn shown(items: &[Extracted]) -> Vec<(&str, Option<&str>, &str)> {
    let kind = |item: &Extracted| {
        if item.item_type == ItemType::Tag {
            "tag"
        } else {
            "field"
        }
    };
    items
        .iter()
        .map(|item| (kind(item), item.field_name, item.value.as_str()))
        .collect()
}

#[test]
fn the_four_kinds_of_items_become_rows_as_the_app_expects_them() {
    let answer = r##"{"contacts":[{"name":"Ana \"A\" Bell","context":"met at RustConf"},{"name":"Bob","context":""}],
        "tags":["#rust","Trains","rust"],"locations":["Munich"],"notes":"Likes tea.\nCall her."}"##;
    let items = ModelAnswer::read(answer)
        .ok()
        .unwrap()
        .into_items(&["Rust", "tea"]);
    assert_eq!(
        shown(&items),
        [
            (
                "field",
                None,
                r#"{"name":"Ana \"A\" Bell","context":"met at RustConf"}"#
            ),
            ("field", None, r#"{"name":"Bob","context":""}"#),
            ("tag", None, "Rust"),
            ("tag", None, "tea"),
            ("tag", None, "Trains"),
            ("field", Some("location"), "Munich"),
            ("field", Some("customNotes"), "Likes tea.\nCall her."),
        ]
    );
}

#[test]
fn an_answer_that_breaks_the_schema_is_an_error() {
    let good = r#"{"contacts":[],"tags":[],"locations":[],"notes":""}"#;
    assert!(ModelAnswer::read(good).is_ok());
    for bad in [
        "[]",
        "null",
        "Sure! Here is the JSON:",
        "```json\n{}\n```",
        "{}",
        r#"{"contacts":[],"tags":[],"locations":[]}"#,
        r#"{"contacts":[],"tags":[],"locations":[],"notes":"","accepted":true}"#,
        r#"{"contacts":[],"tags":[],"locations":[],"notes":"","notes":"twice"}"#,
        r#"{"contacts":[{"name":"Ana","context":"","user_id":"1"}],"tags":[],"locations":[],"notes":""}"#,
        r#"{"contacts":[{"name":"Ana"}],"tags":[],"locations":[],"notes":""}"#,
        r#"{"contacts":[],"tags":[1],"locations":[],"notes":""}"#,
        r#"{"contacts":[],"tags":[],"locations":[],"notes":null}"#,
        r#"{"contacts":[],"tags":[],"locations":[],"notes":""} and more"#,
    ] {
        assert!(
            matches!(ModelAnswer::read(bad), Err(BadAnswer::Schema)),
            "{bad}"
        );
    }
    assert!(matches!(ModelAnswer::read(" \n"), Err(BadAnswer::Empty)));
}

#[test]
fn markup_and_control_characters_are_removed_from_an_answer() {
    let answer = json!({
        "contacts": [{ "name": "<b>Ana</b>\u{0}\u{202e}", "context": "x<script>alert(1)</script>\u{7}" }, { "name": " \u{200b}", "context": "nobody" }],
        "tags": ["a\nb", "<\u{7}i\u{200b}mg src=x>", "<img src=x onerror=alert(1)>", "##c"],
        "locations": ["M\u{0}unich"],
        "notes": "One\r\n\r\n\r\n<a href='javascript:x'>two</a>\u{1b}[31m",
    });
    let items = ModelAnswer::read(&answer.to_string())
        .ok()
        .unwrap()
        .into_items(&[]);
    assert_eq!(
        shown(&items),
        [
            ("field", None, r#"{"name":"Ana","context":"xalert(1)"}"#),
            ("tag", None, "a b"),
            ("tag", None, "c"),
            ("field", Some("location"), "M unich"),
            ("field", Some("customNotes"), "One\n\ntwo[31m"),
        ]
    );
}

fn items_of(
    contacts: &[(String, String)],
    tags: &[String],
    locations: &[String],
    notes: &str,
) -> Vec<Extracted> {
    let contacts: Vec<Value> = contacts
        .iter()
        .map(|(name, context)| json!({ "name": name, "context": context }))
        .collect();
    let answer =
        json!({ "contacts": contacts, "tags": tags, "locations": locations, "notes": notes });
    ModelAnswer::read(&answer.to_string())
        .ok()
        .unwrap()
        .into_items(&[])
}

#[test]
fn an_answer_beyond_the_limits_is_shortened() {
    let many: Vec<String> = (0..500)
        .map(|n| format!("{n}{}", "x".repeat(2000)))
        .collect();
    let contacts: Vec<(String, String)> = many
        .iter()
        .map(|name| (name.clone(), name.clone()))
        .collect();
    let items = items_of(&contacts, &many, &many, &"y".repeat(100_000));
    assert_eq!(items.len(), MAX_NAMED + MAX_TAGS + MAX_NAMED + 1);
    assert!(items.iter().all(|item| item.value.len() <= MAX_NOTES));
}

proptest! {
    #[test]
    fn any_answer_gives_bounded_items_of_the_four_kinds(
        contacts in proptest::collection::vec((".{0,20}", "(.|\n){0,20}"), 0..40),
        tags in proptest::collection::vec("[#a-c<>\0\u{7} ]{0,6}", 0..80),
        locations in proptest::collection::vec(".{0,9}", 0..40),
        notes in "(.|\n|\0|<){0,60}",
    ) {
        let items = items_of(&contacts, &tags, &locations, &notes);
        prop_assert_eq!(&items, &items_of(&contacts, &tags, &locations, &notes));
        prop_assert!(items.len() <= 2 * MAX_NAMED + MAX_TAGS + 1);
        for item in items {
            let known = matches!(
                (item.item_type, item.field_name),
                (ItemType::Tag, None) | (ItemType::Field, None | Some("location" | "customNotes"))
            );
            prop_assert!(known);
            prop_assert!(!item.value.is_empty() && !item.value.contains('\0'));
            prop_assert!(!["<a", "<b", "<c"].iter().any(|tag| item.value.contains(tag)), "{:?}", item.value);
            prop_assert!(item.item_type != ItemType::Tag || !item.value.starts_with('#'));
        }
    }
}
