//! Twilio's own client library works with the simulated Twilio as with the real one.
//!
//! Skipped, as `official_signer` is, without a Python that has the package `twilio`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    app::text,
    official_signer::python,
    settings::{PUBLIC_BASE_URL, WEBHOOK},
    simulated_twilio::SimulatorHarness,
};

/// Sends the library's requests to the simulated Twilio and prints the results.
const USE: &str = "
import json, sys
from datetime import datetime, timedelta, timezone
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

given = json.load(sys.stdin)

class Simulated(TwilioHttpClient):
    def request(self, method, url, *args, **kwargs):
        for host in ['api', 'monitor']:
            url = url.replace(f'https://{host}.twilio.com', given['base'], 1)
        return super().request(method, url, *args, **kwargs)

client = Client(given['account'], given['token'], http_client=Simulated())
stranger = Client(given['account'], 'wrong', http_client=Simulated())

def send(to, body, **more):
    return client.messages.create(to=to, from_=given['from'], body=body, **more)

def refusal(of, *args, **kwargs):
    try:
        of(*args, **kwargs)
    except TwilioRestException as error:
        return [error.status, error.code]

sent = [send(given['to'], f'message {n}', validity_period=600) for n in range(5)]
now = datetime.now(timezone.utc)
listed = client.messages.list(to=given['to'], page_size=2)
fetched = client.messages(sent[0].sid).fetch()
received = client.messages.list(to=given['from'])[0]
alert = client.monitor.v1.alerts.list(log_level='error', start_date=now - timedelta(days=1))[0]
json.dump({
    'sent': [message.sid for message in sent],
    'status': sent[0].status,
    'age': (now - sent[0].date_created).total_seconds(),
    'segments': sent[0].num_segments,
    'listed': [message.sid for message in listed],
    'bodies': [message.body for message in listed],
    'limited': len(client.messages.list(to=given['to'], limit=3)),
    'to_others': len(client.messages.list(to='+12025550177')),
    'sent_tomorrow': len(client.messages.list(date_sent_after=now + timedelta(days=1))),
    'fetched': fetched.body,
    'received': [received.sid, received.from_, received.body, received.direction, received.status],
    'files': [media.content_type for media in client.messages(received.sid).media.list()],
    'alert': [alert.resource_sid, alert.error_code, alert.request_url],
    'variables': client.monitor.v1.alerts(alert.sid).fetch().request_variables,
    'invalid_number': refusal(send, '+15005550001', 'hello'),
    'opted_out': refusal(send, '+15005550004', 'hello'),
    'no_body': refusal(send, given['to'], ''),
    'not_there': refusal(client.messages('SM' + '0' * 32).fetch),
    'wrong_token': refusal(stranger.messages.create, to=given['to'], from_=given['from'], body='x'),
}, sys.stdout)
";

fn use_library(python: &str, given: &Value) -> Value {
    let mut library = Command::new(python)
        .args(["-c", USE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = library.stdin.take().unwrap();
    stdin.write_all(given.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = library.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn twilios_own_client_library_works_with_the_simulated_twilio() {
    let Some(python) = python() else {
        println!("SKIPPED: no Python with the package `twilio`; PYTHON names another interpreter");
        return;
    };
    let simulator = SimulatorHarness::start().await;
    let to = "+12025550123";
    let given = json!({
        "base": simulator.settings.get("TWILIO_API_BASE_URL"),
        "account": simulator.settings.get("TWILIO_ACCOUNT_SID"),
        "token": simulator.settings.get("TWILIO_AUTH_TOKEN"),
        "from": "+15005550006",
        "to": to,
    });
    let lost = twilio_simulator::InboundText {
        media: vec!["image/png".to_owned()],
        ..text(to, "a lost picture")
    };
    let lost = simulator.api.take_lost(&lost, chrono::DateTime::UNIX_EPOCH);
    let seen = tokio::task::spawn_blocking(move || use_library(&python, &given));
    let seen = seen.await.unwrap();

    let accepted = simulator.api.messages_to(to, 5).await;
    let sids: Vec<_> = accepted
        .iter()
        .map(|message| message.sid.as_str())
        .collect();
    assert_eq!(seen["sent"], json!(sids));
    assert_eq!(accepted[0].validity, Some(600));
    assert_eq!(
        (&seen["status"], &seen["segments"]),
        (&json!("queued"), &json!("1"))
    );
    assert!(
        seen["age"].as_f64().unwrap().abs() < 60.0,
        "{}",
        seen["age"]
    );
    let newest_first: Vec<_> = sids.iter().rev().collect();
    assert_eq!(seen["listed"], json!(newest_first));
    assert_eq!(seen["bodies"][0], "message 4");
    assert_eq!(
        (&seen["limited"], &seen["to_others"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(seen["sent_tomorrow"], 0);
    assert_eq!(seen["fetched"], "message 0");
    let received = [&lost, to, "a lost picture", "inbound", "received"];
    assert_eq!(seen["received"], json!(received));
    assert_eq!(seen["files"], json!(["image/png"]));
    let webhook = format!("{PUBLIC_BASE_URL}{WEBHOOK}");
    assert_eq!(seen["alert"], json!([lost, "11200", webhook]));
    let variables = seen["variables"].as_str().unwrap();
    assert!(variables.contains("&Body=a+lost+picture&"), "{variables}");
    assert_eq!(seen["invalid_number"], json!([400, 21211]));
    assert_eq!(seen["opted_out"], json!([400, 21610]));
    assert_eq!(seen["no_body"], json!([400, 21602]));
    assert_eq!(seen["not_there"], json!([404, 20404]));
    assert_eq!(seen["wrong_token"], json!([401, 20003]));
    assert_eq!(accepted.len(), simulator.api.accepted().len());
}
