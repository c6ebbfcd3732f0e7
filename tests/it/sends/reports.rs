//! Twilio's status callbacks: signed, in any order, repeated, early.

use pigeonhole::dev::twilio::{Answer, Behaviour, Callbacks};
use reqwest::StatusCode;
use twilio::signature;
use uuid::Uuid;

use super::{Rig, TO};
use crate::{
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
async fn reports_in_any_order_and_number_leave_the_furthest_state() {
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
            let rig = Rig::start().await;
            rig.api
                .behave(TO, sequence(statuses, error_code, before_answer));
            let id = rig.send().await;
            rig.run().await;
            let sid = rig.api.message_to(TO).await.sid;
            let told = rig.api.callbacks_of(&sid, statuses.len()).await;
            assert!(
                told.iter().all(|told| told.http_status == Some(204)),
                "{told:?}"
            );
            let row = rig.row(id).await;
            assert_eq!(row.state, expected, "{statuses:?}, early: {before_answer}");
            assert_eq!(row.reason.as_deref(), reason, "{statuses:?}");
            assert_eq!(row.twilio_sid, Some(sid));
        }
    }
}

#[tokio::test]
async fn a_report_that_comes_while_the_answer_is_awaited_is_not_undone_by_the_answer() {
    let rig = Rig::start().await;
    let behaviour = Behaviour {
        answer: Answer::Slow {
            before_accepting: 0,
            after: 300,
        },
        callbacks: sequence(&["sent", "delivered"], None, true),
    };
    rig.api.behave(TO, behaviour);
    let id = rig.send().await;
    rig.run().await;
    assert_eq!(rig.state(id).await, "delivered");
}

/// Posts a report, signed with this token for this path.
async fn report(rig: &Rig, token: &str, path: &str, parameters: &[(String, String)]) -> StatusCode {
    let signature = signature::sign(token, &format!("{PUBLIC_BASE_URL}{path}"), parameters);
    client()
        .post(format!("http://{}{path}", rig.app.receiver))
        .header(signature::HEADER, signature)
        .header("content-type", FORM)
        .body(encode(parameters))
        .send()
        .await
        .unwrap()
        .status()
}

#[tokio::test]
async fn only_what_twilio_signed_for_our_account_moves_a_send() {
    let rig = Rig::start().await;
    rig.api.behave(TO, Callbacks::None);
    let id = rig.send().await;
    rig.run().await;
    let row = rig.row(id).await;
    let sid = row.twilio_sid.unwrap();
    let token = rig.app.settings.get("TWILIO_AUTH_TOKEN").to_owned();
    let account = rig.app.settings.get("TWILIO_ACCOUNT_SID").to_owned();
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
    assert_eq!(report(&rig, "another", &path, &delivered).await, 403);
    let foreign = parameters(&format!("AC{}", hex()), &sid, "delivered");
    assert_eq!(report(&rig, &token, &path, &foreign).await, 403);
    let broken = parameters(&account, "SM1", "delivered");
    assert_eq!(report(&rig, &token, &path, &broken).await, 400);
    assert_eq!(rig.state(id).await, "sent");

    // Of a send that nobody has heard of, or of somebody else's SMS from the same account: no error, no effect.
    let stranger = parameters(&account, &format!("SM{}", hex()), "delivered");
    let elsewhere = format!("/api/sms/status?send={}", Uuid::new_v4());
    assert_eq!(report(&rig, &token, &elsewhere, &stranger).await, 204);
    assert_eq!(
        report(&rig, &token, "/api/sms/status", &stranger).await,
        204
    );
    assert_eq!(rig.state(id).await, "sent");

    // Without our id, Twilio's name will do.
    assert_eq!(
        report(&rig, &token, "/api/sms/status", &delivered).await,
        204
    );
    assert_eq!(rig.state(id).await, "delivered");
}
