//! A collector that is unreachable or never responds costs no message and no time.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::net::TcpListener;

use super::TraceHarness;
use crate::{database::NUMBER, process::Process, wait::PATIENCE};

/// Stops the process gracefully. Returns how long that took.
pub(super) async fn stop(process: &mut Process) -> Duration {
    let started = Instant::now();
    process.signal(Signal::TERM);
    let status = process.ended(PATIENCE).await;
    assert!(status.success(), "{status}");
    started.elapsed()
}

/// Messages are accepted and processed, replies are sent, and the processes stop in time.
async fn works_without(endpoint: &str) {
    let mut harness = TraceHarness::traced(endpoint).await;
    let mut sids = Vec::new();
    for n in 0..30 {
        sids.push(harness.deliver(NUMBER, &format!("text {n}")).await);
    }
    for sid in &sids {
        assert_eq!(harness.database.wait_until_ended(sid).await, "processed");
    }
    harness.database.drain().await;
    let rows = harness.database.rows().await;
    assert_eq!((rows.messages, rows.dead), (30, 0));
    assert!(!harness.api.accepted().is_empty());
    let line = "traces cannot be delivered and are dropped: is the collector at OTEL_EXPORTER_OTLP_ENDPOINT up?";
    harness.worker.wait_for_line(line, PATIENCE).await;
    for process in [&mut harness.worker, &mut harness.receiver] {
        let took = stop(process).await;
        assert!(took < Duration::from_secs(8), "{took:?}");
        let told = process.lines();
        let told = told.iter().filter(|told| told["fields"]["message"] == line);
        assert_eq!(told.count(), 1, "one log line, not one per attempt");
    }
}

#[tokio::test]
async fn an_unreachable_collector_loses_no_message_and_delays_no_stop() {
    works_without("http://127.0.0.1:9").await;
}

#[tokio::test]
async fn a_collector_that_never_responds_loses_no_message_and_delays_no_stop() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    works_without(&format!("http://{}", silent.local_addr().unwrap())).await;
}
