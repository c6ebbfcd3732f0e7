//! Every known signature vector gives the answer that Twilio's own libraries give.
//!
//! `SIGNATURE_VECTORS` may name another file of the same shape.

use serde_json::Value;
use twilio::form;
use twilio::signature::{AuthTokens, Body, Validator};

fn vectors() -> Vec<Value> {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the test may name another file"
    )]
    let named = std::env::var("SIGNATURE_VECTORS");
    let path = named.unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signature_vectors.json").into()
    });
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let file: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
    let list = file.get("vectors").unwrap_or(&file).as_array();
    list.unwrap_or_else(|| panic!("{path}: neither a list nor an object with `vectors`"))
        .clone()
}

fn id(vector: &Value) -> String {
    vector["id"]
        .as_str()
        .map_or_else(|| vector.to_string(), str::to_owned)
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name]
        .as_str()
        .unwrap_or_else(|| panic!("vector {}: no text `{name}`", id(vector)))
}

fn pairs(vector: &Value) -> Vec<(String, String)> {
    if vector["params"].is_null() {
        return Vec::new();
    }
    serde_json::from_value(vector["params"].clone())
        .unwrap_or_else(|e| panic!("vector {}: params: {e}", id(vector)))
}

fn is_valid(vector: &Value) -> bool {
    let tokens = AuthTokens::new(vec![text(vector, "auth_token").into()]);
    let tokens = tokens.unwrap_or_else(|e| panic!("vector {}: {e}", id(vector)));
    let pairs = pairs(vector);
    let body = match vector["body"].as_str() {
        Some(json) => Body::Json(json.as_bytes()),
        None => Body::Form(&pairs),
    };
    let signature = text(vector, "signature").as_bytes();
    Validator::new(&tokens)
        .check(text(vector, "url"), body, signature)
        .is_ok()
}

#[test]
fn signature_vectors_all_give_the_expected_answer() {
    let vectors = vectors();
    assert!(!vectors.is_empty());
    let wrong: Vec<String> = vectors
        .iter()
        .filter(|vector| vector["expected_valid"].as_bool() != Some(is_valid(vector)))
        .map(id)
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} vectors are wrong: {wrong:?}",
        wrong.len(),
        vectors.len()
    );
}

#[test]
fn signature_vectors_with_a_raw_body_decode_to_their_parameters() {
    for vector in vectors() {
        if let Some(raw) = vector["raw_form_body"].as_str() {
            assert_eq!(
                form::parse(raw.as_bytes(), 200),
                Ok(pairs(&vector)),
                "vector {}",
                id(&vector)
            );
        }
    }
}
