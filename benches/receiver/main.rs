//! `cargo bench -p pigeonhole --bench receiver` posts signed webhooks over loopback. The receiver
//! answers them once they are committed. For comparison, a second receiver does the same work
//! without a database.
//!
//! Receiver, clients and Postgres share one machine, so compare the ratios. The benchmark prints a
//! table and writes `target/bench/receiver.json`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark's output; a failure may end it"
)]

mod harness;
mod load;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/setup.rs"]
mod setup;

use std::{fs, time::Duration};

use serde_json::json;

use harness::ReceiverHarness;

const SECONDS: u64 = 6;

fn main() {
    if let Some(settings) = harness::child() {
        harness::serve(&settings);
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let harness = ReceiverHarness::start().await;
        let plain = tokio::task::block_in_place(|| harness.plain_inserts(1, SECONDS));
        println!("| connections | committed/s | p50 | p99 | without a database | ratio |");
        println!("| --- | --- | --- | --- | --- | --- |");
        let mut figures = serde_json::Map::new();
        for connections in [1, 64, 256] {
            // Alternate twice, so that a drift of the machine's speed affects both.
            let mut runs = Vec::new();
            for _ in 0..2 {
                let without = load::run(
                    harness.without_database,
                    connections,
                    Duration::from_secs(SECONDS),
                )
                .await;
                let with = load::run(
                    harness.with_database,
                    connections,
                    Duration::from_secs(SECONDS),
                )
                .await;
                runs.push((with, without));
            }
            runs.sort_by(|a, b| (a.0.per_s / a.1.per_s).total_cmp(&(b.0.per_s / b.1.per_s)));
            let (with, without) = &runs[0]; // the worse of the two
            let ratio = with.per_s / without.per_s;
            println!(
                "| {connections} | {:.0} | {:.1} ms | {:.1} ms | {:.0}/s | {ratio:.2} |",
                with.per_s, with.p50_ms, with.p99_ms, without.per_s
            );
            figures.insert(
                format!("c{connections}"),
                json!({
                    "per_s": with.per_s, "p50_ms": with.p50_ms, "p99_ms": with.p99_ms,
                    "without_database_per_s": without.per_s, "ratio": ratio,
                }),
            );
        }
        let stored = harness.stored().await;
        println!("\npgbench, one client, one plain INSERT of 600 bytes a commit: {plain:.0}/s");
        println!("messages stored, each with its job: {stored}");
        println!(
            "memory of the receiver, most so far: {} MiB",
            harness.receiver_peak_mib()
        );
        figures.insert("plain_insert_1_client_per_s".to_owned(), json!(plain));
        figures.insert(
            "receiver_peak_mib".to_owned(),
            json!(harness.receiver_peak_mib()),
        );
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench");
        fs::create_dir_all(folder).unwrap();
        let text = serde_json::to_string_pretty(&figures).unwrap();
        fs::write(format!("{folder}/receiver.json"), text).unwrap();
    });
}
