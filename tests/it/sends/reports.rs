//! Twilio's status reports: signed, in any order, repeated, early.

use reqwest::StatusCode;
use twilio::signature;
use twilio_simulator::{Behaviour, Callbacks, SendAnswer};
use uuid::Uuid;

use super::{SendHarness, TO};
use crate::{
    commits_held::HoldingServer,
    database::Database,
    settings::{PUBLIC_BASE_URL, hex},
    webhook::{FORM, client, encode},
};

fn sequence(statuses: &[&str], error_code: Option<u32>, before_answer: bool) -> Callbacks {
    Callbacks::Sequence {
        statuses: statuses.iter().map(|&status| status.to_owned()).collect(),
        error_code,
        before_answer,
    }
}

#[tokio::test]
async fn status_reports_in_any_order_and_number_end_in_the_furthest_state() {
    for (statuses, error_code, expected, reason) in [
        (
            &["queued", "sent", "delivered"][..],
            None,
            "delivered",
            None,
        ),
        (&["delivered", "sent", "queued"], None, "delivered", None),
        (&["sent", "sent", "queued", "sending"], None, "sent", None),
        (
            &["undelivered", "sent"],
            Some(30005),
            "undelivered",
            Some("unknown_number"),
        ),
        (
            &["failed", "queued"],
            Some(30007),
            "failed",
            Some("filtered"),
        ),
        (
            &["sent", "undelivered", "delivered"],
            Some(30003),
            "delivered",
            None,
        ),
        (&["teleported"], None, "sent", None),
    ] {
        for before_answer in [false, true] {
            let harness = SendHarness::start().await;
            harness
                .api
                .behave(TO, sequence(statuses, error_code, before_answer));
            let id = harness.send().await;
            harness.run().await;
            let sid = harness.api.message_to(TO).await.sid;
            let told = harness.api.callbacks_of(&sid, statuses.len()).await;
            assert!(
                told.iter().all(|told| told.http_status == Some(204)),
                "{told:?}"
            );
            let row = harness.row(id).await;
            assert_eq!(row.state, expected, "{statuses:?}, early: {before_answer}");
            assert_eq!(row.reason.as_deref(), reason, "{statuses:?}");
            assert_eq!(row.twilio_sid, Some(sid));
        }
    }
}

#[tokio::test]
async fn a_status_report_that_arrives_before_the_response_is_not_undone_by_it() {
    let harness = SendHarness::start().await;
    let behaviour = Behaviour {
        answer: SendAnswer::Slow {
            before_accepting: 0,
            after: 300,
        },
        callbacks: sequence(&["sent", "delivered"], None, true),
    };
    harness.api.behave(TO, behaviour);
    let id = harness.send().await;
    harness.run().await;
    assert_eq!(harness.state(id).await, "delivered");
}

/// Posts a status report, signed with this token for this path.
async fn report(
    harness: &SendHarness,
    token: &str,
    path: &str,
    parameters: &[(String, String)],
) -> StatusCode {
    let signature = signature::sign(token, &format!("{PUBLIC_BASE_URL}{path}"), parameters);
    client()
        .post(format!("http://{}{path}", harness.app.receiver))
        .header(signature::HEADER, signature)
        .header("content-type", FORM)
        .body(encode(parameters))
        .send()
        .await
        .unwrap()
        .status()
}

#[tokio::test]
async fn only_status_reports_signed_for_our_account_change_a_send() {
    let harness = SendHarness::start().await;
    harness.api.behave(TO, Callbacks::None);
    let id = harness.send().await;
    harness.run().await;
    let row = harness.row(id).await;
    let sid = row.twilio_sid.unwrap();
    let token = harness.app.settings.get("TWILIO_AUTH_TOKEN").to_owned();
    let account = harness.app.settings.get("TWILIO_ACCOUNT_SID").to_owned();
    let parameters = |account: &str, sid: &str, status: &str| {
        [
            ("MessageSid", sid),
            ("AccountSid", account),
            ("MessageStatus", status),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let path = format!("/api/sms/status?send={id}");
    let delivered = parameters(&account, &sid, "delivered");
    assert_eq!(report(&harness, "another", &path, &delivered).await, 403);
    let foreign = parameters(&format!("AC{}", hex()), &sid, "delivered");
    assert_eq!(report(&harness, &token, &path, &foreign).await, 403);
    let broken = parameters(&account, "SM1", "delivered");
    assert_eq!(report(&harness, &token, &path, &broken).await, 400);
    assert_eq!(harness.state(id).await, "sent");

    // A callback for an unknown send, or for another SMS of the same account, causes no error and
    // no effect.
    let unknown = parameters(&account, &format!("SM{}", hex()), "delivered");
    let elsewhere = format!("/api/sms/status?send={}", Uuid::new_v4());
    assert_eq!(report(&harness, &token, &elsewhere, &unknown).await, 204);
    assert_eq!(
        report(&harness, &token, "/api/sms/status", &unknown).await,
        204
    );
    assert_eq!(harness.state(id).await, "sent");

    // Without our id, the callback matches by Twilio's SID.
    assert_eq!(
        report(&harness, &token, "/api/sms/status", &delivered).await,
        204
    );
    assert_eq!(harness.state(id).await, "delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_status_report_waits_for_the_standby_as_the_first_one_did() {
    let mut holding = HoldingServer::start().await;
    let database = Database::create_on(&holding.server).await;
    let harness = SendHarness::on(database).await;
    harness.api.behave(TO, Callbacks::None);
    let id = harness.send().await;
    harness.run().await;
    let sid = harness.row(id).await.twilio_sid.unwrap();
    let settings = &harness.app.settings;
    let token = settings.get("TWILIO_AUTH_TOKEN").to_owned();
    let parameters = [
        ("MessageSid", sid.as_str()),
        ("AccountSid", settings.get("TWILIO_ACCOUNT_SID")),
        ("MessageStatus", "delivered"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    // With the send's id, with Twilio's SID only, and for a send that we do not have.
    let paths = [
        format!("/api/sms/status?send={id}"),
        "/api/sms/status".to_owned(),
        format!("/api/sms/status?send={}", Uuid::new_v4()),
    ];
    for path in &paths {
        assert_eq!(report(&harness, &token, path, &parameters).await, 204);
    }
    holding.lose_standby().await;
    for path in &paths {
        let status = report(&harness, &token, path, &parameters).await;
        assert_eq!(status, 503, "{path}");
    }
    holding.find_standby().await;
    for path in &paths {
        assert_eq!(report(&harness, &token, path, &parameters).await, 204);
    }
    assert_eq!(harness.state(id).await, "delivered");
}
