//! `cargo bench -p queue`: what the queue costs, beside the floor that Postgres itself sets on the
//! same server.
//!
//! Prints a table and writes `target/bench/queue.json`. Arguments choose the parts to run:
//! `enqueue`, `drain`, `latency`, `processes`, `backlog`, `snapshot`. These measurements share one
//! machine with the server they measure, so compare the ratios.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark's output; a failure may end it"
)]

mod drain;
mod enqueue;
mod floor;
mod latency;
mod report;
mod setup;

use report::Report;
use setup::BenchDatabase;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(url) = setup::child_database() {
        runtime.block_on(drain::child(&url));
        return;
    }
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wants = |part: &str| chosen.is_empty() || chosen.iter().any(|name| name == part);
    runtime.block_on(async {
        let bench = BenchDatabase::start().await;
        let mut report = Report::new(&bench);
        if wants("enqueue") {
            enqueue::run(&bench, &mut report).await;
        }
        if wants("drain") {
            drain::one_process(&bench, &mut report).await;
        }
        if wants("latency") {
            latency::run(&bench, &mut report).await;
        }
        if wants("processes") {
            drain::two_processes(&bench, &mut report).await;
        }
        if wants("backlog") {
            drain::beside_a_backlog(&bench, &mut report).await;
        }
        if wants("snapshot") {
            drain::under_an_old_snapshot(&bench, &mut report).await;
        }
        report.print();
    });
}
