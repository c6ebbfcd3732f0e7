//! Sends signed Twilio webhooks, each with a `MessageSid` of its own, to any receiver over plain
//! HTTP/1.1, and prints one line of JSON.
//!
//! Closed loop: each connection sends its next request once the last was answered. Open loop
//! (`--rate`): request `i` is due at `i / rate` seconds, whether or not earlier ones were answered,
//! and latency counts from then. So a slow receiver cannot slow the load down and hide its delay.

mod connection;
mod http_response;
mod report;
mod schedule;
mod webhook;

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use clap::Parser;
use tokio::task::LocalSet;

use connection::{Sample, Target};
use report::LoadReport;
use schedule::{End, Schedule};
use webhook::WebhookFactory;

/// Sends signed Twilio webhooks and prints one line of JSON.
#[derive(Debug, Parser)]
struct Options {
    /// Where to send them: `http://HOST:PORT/PATH`
    #[arg(long)]
    url: String,
    /// The URL that Twilio signs
    #[arg(long, default_value = "https://sms.example.com/api/sms/webhook")]
    public_url: String,
    /// The auth token that signs
    #[arg(long, default_value = "0123456789abcdef0123456789abcdef")]
    token: String,
    #[arg(long, default_value = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    account_sid: String,
    /// The number that the messages are sent to
    #[arg(long, default_value = "+15555556789")]
    to: String,
    /// The first sender, without the plus sign
    #[arg(long, default_value_t = 15_555_552_000)]
    first_sender: u64,
    /// How many senders take turns
    #[arg(long, default_value_t = 1000)]
    senders: u64,
    /// Keep-alive connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests a second, in an open loop
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds to run, if no count is given
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Requests to send, however long it takes
    #[arg(long)]
    count: Option<u64>,
    /// Seconds at the start that are left out of the figures
    #[arg(long, default_value_t = 0.0)]
    warmup: f64,
    /// Makes the sids; by default the clock does, so that no two runs share one
    #[arg(long)]
    seed: Option<u64>,
    /// Writes one line a request: sid, due and answered (microseconds since 1970), status
    #[arg(long)]
    log: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let target = Target::parse(&options.url)?;
    let (clock, start) = (
        SystemTime::now().duration_since(UNIX_EPOCH)?,
        Instant::now(),
    );
    let end = match options.count {
        Some(count) => End::Count(count),
        None => End::After(Duration::from_secs_f64(options.duration)),
    };
    let webhooks = Rc::new(WebhookFactory::new(&options, clock)?);
    let schedule = Rc::new(Schedule::start(start, end, options.rate));

    // One thread signs and sends. It takes some 50 µs a request, and shares the machine.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let samples = LocalSet::new().block_on(&runtime, async {
        let connections: Vec<_> = (0..options.connections)
            .map(|_| {
                let (target, webhooks) = (target.clone(), webhooks.clone());
                tokio::task::spawn_local(connection::run(target, webhooks, schedule.clone()))
            })
            .collect();
        let mut samples = Vec::new();
        for connection in connections {
            samples.append(&mut connection.await?);
        }
        anyhow::Ok(samples)
    })?;
    let wall = start.elapsed();

    if let Some(path) = &options.log {
        write_log(path, &samples, &webhooks, clock)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let report = LoadReport {
        samples: &samples,
        wall,
        warmup: Duration::from_secs_f64(options.warmup),
        rate: options.rate,
        connections: options.connections,
    };
    println!("{}", report.json());
    Ok(())
}

fn write_log(
    path: &Path,
    samples: &[Sample],
    webhooks: &WebhookFactory,
    clock: Duration,
) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let micros = |since_start: Duration| (clock + since_start).as_micros();
    for sample in samples {
        let sid = webhooks.sid(sample.index);
        let (due, answered) = (micros(sample.due), micros(sample.answered));
        writeln!(file, "{sid},{due},{answered},{}", sample.status)?;
    }
    file.flush()
}
