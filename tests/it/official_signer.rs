//! The receiver accepts signatures made by Twilio's own library.
//!
//! `PYTHON` names an interpreter that has the package `twilio`. Without it the test prints a notice
//! and checks nothing, unless `PIGEONHOLE_REQUIRE_TWILIO_PYTHON` is set.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    app::{TestApp, field, text},
    database::NUMBER,
    settings::{PUBLIC_BASE_URL, WEBHOOK, test_run_variable},
    webhook::{encode, webhook},
};

const SIGN: &str = "
import json, sys
from twilio.request_validator import RequestValidator
given = json.load(sys.stdin)
print(RequestValidator(given['token']).compute_signature(given['url'], given['parameters']))
";

/// An interpreter with Twilio's library, if available.
pub(crate) fn python() -> Option<String> {
    let python = test_run_variable("PYTHON").unwrap_or_else(|| "python3".to_owned());
    let has_it = Command::new(&python)
        .args(["-c", "import twilio"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let required = test_run_variable("PIGEONHOLE_REQUIRE_TWILIO_PYTHON").is_some();
    assert!(has_it || !required, "{python} has no package `twilio`");
    has_it.then_some(python)
}

fn sign(python: &str, token: &str, parameters: &[(String, String)]) -> String {
    let mut signer = Command::new(python)
        .args(["-c", SIGN])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let parameters: serde_json::Map<_, _> = parameters
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let url = format!("{PUBLIC_BASE_URL}{WEBHOOK}");
    let given = json!({ "token": token, "url": url, "parameters": parameters });
    let mut stdin = signer.stdin.take().unwrap();
    stdin.write_all(given.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = signer.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn signatures_by_twilios_own_library_are_accepted_and_one_changed_byte_is_refused() {
    let Some(python) = python() else {
        println!("SKIPPED: no Python with the package `twilio`; PYTHON names another interpreter");
        return;
    };
    let app = TestApp::start().await;
    let mut message = text(NUMBER, "Zoë & Bo = 100% + \u{1f44b} #official");
    message.fields = vec![field("ZUnknown", "später"), field("aUnknown", "")];
    let parameters = app.twilio.parameters(&message);
    let signature = sign(&python, app.settings.get("TWILIO_AUTH_TOKEN"), &parameters);

    let body = encode(&parameters);
    let changed = body.replacen("Zo", "Za", 1);
    assert_ne!(body, changed);
    let post = async |body: String| {
        let request = webhook(app.receiver, &signature, body);
        request.send().await.unwrap().status()
    };
    assert_eq!(post(changed).await, 403);
    assert_eq!(app.rows().await.messages, 0);
    assert_eq!(post(body).await, 200);
    assert_eq!(app.rows().await.messages, 1);
    app.drain().await;
}
