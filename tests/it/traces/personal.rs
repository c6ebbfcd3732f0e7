//! No personal data gets into a trace, even when something fails.

use serde_json::json;
use store::sends;
use twilio_simulator::{Behaviour, Callbacks, SendAnswer};
use uuid::Uuid;

use super::{ExportedSpan, TraceCollector, TraceHarness};
use crate::{
    app::text,
    database::{NUMBER, UNLINKED_NUMBER},
    models::fake::{FakeModel, KEY, ModelProtocol, ModelReply},
    settings::hex,
    wait::{PATIENCE, eventually},
};

/// Values that no span may contain.
struct PersonalValues(Vec<(&'static str, String)>);

impl PersonalValues {
    fn add(&mut self, what: &'static str, text: impl Into<String>) {
        self.0.push((what, text.into()));
    }

    /// Adds the number in each of its notations.
    fn add_number(&mut self, number: &str) {
        let digits = number.trim_start_matches('+');
        self.add("a number", digits);
        self.add("a number", &digits[1..]);
        let (area, line) = (&digits[1..4], &digits[4..]);
        self.add("a number", format!("{area}) {}", &line[..3]));
        self.add("a number", format!("{}-{}", &line[..3], &line[3..]));
    }

    fn assert_none_in(&self, place: &str) {
        for (what, text) in &self.0 {
            assert!(!place.contains(text.as_str()), "a trace holds {what}");
        }
    }
}

fn behaviours() -> Vec<Behaviour> {
    let refused = |code| SendAnswer::Refuse { status: 400, code };
    vec![
        SendAnswer::Accept.into(),
        refused(21211).into(),
        SendAnswer::CutAfter.without_callbacks(),
        SendAnswer::CutBefore.into(),
        Callbacks::Undelivered { code: 30005 }.into(),
        SendAnswer::Garbage.without_callbacks(),
        SendAnswer::ServerError { accept: false }.into(),
    ]
}

#[tokio::test]
async fn no_span_contains_personal_data() {
    let collector = TraceCollector::start().await;
    let model = FakeModel::start(ModelProtocol::Gemini).await;
    let word = hex();
    let harness = TraceHarness::start(|database| {
        database
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
            .with("EXTRACTOR", "gemini")
            .with("GOOGLE_GEMINI_API_KEY", KEY)
            .with("GEMINI_MODEL", "gemini-test")
            .with("GEMINI_BASE_URL", format!("http://{}", model.address))
            .with("DELETE_MEDIA_AT_TWILIO", "true")
            .with("REPLY_PROCESSED", format!("thanks {word}"))
            .with("VERIFICATION_MESSAGE", "{code} for {minutes}")
    })
    .await;
    let settings = &harness.database.settings;
    let (mut secrets, mut codes) = (PersonalValues(Vec::new()), Vec::new());
    for name in ["TWILIO_AUTH_TOKEN", "ENCRYPTION_KEY", "JWT_SECRET"] {
        secrets.add("a secret of ours", settings.get(name));
    }
    secrets.add("a secret of ours", KEY);
    secrets.add("a reply", &word);
    secrets.add_number(NUMBER);
    secrets.add_number(UNLINKED_NUMBER);

    let said = hex();
    secrets.add("a message", &said);
    let mut sids = Vec::new();
    for from in [NUMBER, UNLINKED_NUMBER] {
        let mut mms = text(from, &format!("Met {said} #rust"));
        mms.media = vec!["image/jpeg".to_owned()];
        sids.push(harness.deliver_text(&mms).await);
    }
    for sid in &sids {
        harness.database.wait_until_ended(sid).await;
    }
    // The answer of a model is personal, and so is the error text of its service.
    model.reply_with(ModelReply::Http(500, Vec::new(), said.clone()));
    model.reply_with(ModelReply::Generated(format!("{said} no JSON")));
    sids.push(harness.deliver(NUMBER, &said).await);
    for (n, behaviour) in (0..).zip(behaviours()) {
        let number = format!("+1202555{}", 3170 + n * 7);
        secrets.add_number(&number);
        harness.api.behave(&number, behaviour);
        let (user, token) = harness.user().await;
        secrets.add("a token", token.rsplit('.').next().unwrap());
        let asked = harness.post(&token, "", &json!({ "phoneNumber": number }));
        assert_eq!(asked.send().await.unwrap().status(), 201);
        let mut conn = harness.database.pool.acquire().await.unwrap();
        let send = sqlx::query_scalar("select id from pigeonhole.sends where user_id = $1");
        let send: Uuid = send.bind(user).fetch_one(&mut *conn).await.unwrap();
        let keyring = settings.keyring();
        let send = sends::load(&mut conn, &keyring, send).await.unwrap();
        if let Some((_, sms)) = send.unwrap().message {
            codes.push(sms[..6].to_owned());
        }
        // A wrong guess and a refused request.
        for body in [
            json!({ "phoneNumber": number, "code": "000000" }),
            json!({ "phoneNumber": format!("{number} ext. 5"), "code": "abcdef" }),
        ] {
            let guessed = harness.post(&token, "/verify", &body).send().await;
            assert_eq!(guessed.unwrap().status(), 400);
        }
    }
    let is_call = |span: &&ExportedSpan| span.name == "twilio.create_message";
    eventually(
        "the collector has all expected spans",
        PATIENCE,
        async || (collector.spans().iter().filter(is_call).count() >= 8).then_some(()),
    )
    .await;
    for name in ["twilio.fetch_media", "twilio.delete_media", "model.ask"] {
        collector.wait_for(name, |span| span.name == name).await;
    }
    let failed = |span: &ExportedSpan| span.get("outcome") == "retried" && !span.events.is_empty();
    collector.wait_for("a job that went wrong", failed).await;

    // The traces contain what they should, so the search would also find what they should not
    // contain.
    let wire = collector.wire();
    assert!(sids.iter().all(|sid| wire.contains(sid.as_str())));
    secrets.assert_none_in(&wire);
    for span in collector.spans() {
        let values = span.attributes.values().chain(&span.events);
        for word in values.flat_map(|text| text.split(|c: char| !c.is_alphanumeric())) {
            assert!(
                !codes.iter().any(|code| code == word),
                "a trace holds a code"
            );
        }
        for name in span.attributes.keys() {
            assert!(KNOWN.contains(&name.as_str()), "{name} of {}", span.name);
        }
    }
}

/// All allowed span attributes. A new attribute needs a review.
const KNOWN: [&str; 13] = [
    "http.response.status_code",
    "job.subject",
    "job.attempt",
    "job.id",
    "job.kind",
    "job.wait_ms",
    "message.sid",
    "outcome",
    "request",
    "route",
    "trace",
    "user",
    "otel.scope.name",
];
