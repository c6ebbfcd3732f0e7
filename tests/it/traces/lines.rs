//! Log lines: one per attempt, with all its fields. One trace id connects the webhook's request
//! with its reply.

use serde_json::Value;

use super::TraceHarness;
use crate::{
    database::NUMBER,
    process::Process,
    wait::{PATIENCE, eventually},
};

/// A field of one of the line's spans.
fn of_span<'l>(line: &'l Value, name: &str) -> &'l Value {
    let spans = line["spans"].as_array().map_or(&[][..], Vec::as_slice);
    let found = spans.iter().find_map(|span| span.get(name));
    found.unwrap_or(&Value::Null)
}

/// The lines that report the end of an attempt of this kind of job.
async fn attempts(process: &Process, kind: &str) -> Vec<Value> {
    eventually(&format!("an attempt at {kind}"), PATIENCE, async || {
        let mut lines = process.lines();
        lines.retain(|line| {
            of_span(line, "job.kind") == kind && !line["fields"]["duration_ms"].is_null()
        });
        (!lines.is_empty()).then_some(lines)
    })
    .await
}

/// The trace id within a `traceparent`.
fn trace_id(line: &Value) -> String {
    let trace = of_span(line, "trace").as_str().expect("a trace");
    trace.split('-').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn each_attempt_logs_one_line_and_one_trace_connects_the_request_with_the_reply() {
    let harness = TraceHarness::start(|database| database).await;
    let sid = harness.deliver(NUMBER, "Hello").await;
    let reply = attempts(&harness.worker, "send_reply").await;
    let job = attempts(&harness.worker, "process_message").await;
    assert_eq!((job.len(), reply.len()), (1, 1));
    let (job, reply) = (&job[0], &reply[0]);
    let send = &harness.api.accepted()[0];
    assert_eq!(of_span(job, "job.subject"), &*sid);
    let subject = of_span(reply, "job.subject").as_str().unwrap();
    assert!(send.status_callback.as_ref().unwrap().contains(subject));
    for line in [job, reply] {
        assert_eq!(of_span(line, "job.attempt"), 1);
        assert!(of_span(line, "job.id").as_i64().is_some_and(|id| id > 0));
        assert!(line["fields"]["duration_ms"].is_u64(), "{line}");
        assert!(of_span(line, "job.wait_ms").is_u64(), "{line}");
        assert_eq!(line["fields"]["message"], "job completed");
        assert_eq!(line["fields"]["outcome"], "completed");
    }

    let accepted = harness
        .receiver
        .wait_for_line("webhook accepted", PATIENCE)
        .await;
    assert_eq!(of_span(&accepted, "message.sid"), &*sid);
    // Twilio's id of the request, as its console shows it.
    let request = of_span(&accepted, "request").as_str().expect("its name");
    assert_eq!(request.len(), 32);
    let trace = trace_id(&accepted);
    assert_eq!((trace_id(job), trace_id(reply)), (trace.clone(), trace));
    // Steps appear in traces only, not in the log.
    assert!(!harness.worker.log().contains("step."));
}
