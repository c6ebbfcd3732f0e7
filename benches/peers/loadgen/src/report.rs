//! The figures of a run.

use std::{collections::BTreeMap, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::connection::Sample;

pub(crate) struct LoadReport<'a> {
    pub(crate) samples: &'a [Sample],
    pub(crate) wall: Duration,
    pub(crate) warmup: Duration,
    pub(crate) rate: Option<f64>,
    pub(crate) connections: usize,
}

impl LoadReport<'_> {
    /// `p50_ms` and so on count from when a request was due, `service_…` from when it was sent.
    pub(crate) fn json(&self) -> Value {
        let mut statuses = BTreeMap::<String, u64>::new();
        for sample in self.samples {
            *statuses.entry(sample.status.to_string()).or_default() += 1;
        }
        let accepted = self.samples.iter().filter(|sample| sample.is_accepted());
        let accepted: Vec<_> = accepted
            .filter(|sample| sample.due >= self.warmup)
            .collect();
        let since = |start: fn(&Sample) -> Duration| {
            let times = accepted.iter();
            sorted(times.map(|sample| sample.answered.saturating_sub(start(sample))))
        };
        let latencies = since(|sample| sample.due);
        let services = since(|sample| sample.sent);
        let last = self.samples.iter().map(|sample| sample.answered).max();
        let measured = last.unwrap_or_default().saturating_sub(self.warmup);
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = Duration::new(
            u64::try_from(cpu.tv_sec).unwrap_or_default(),
            u32::try_from(cpu.tv_nsec).unwrap_or_default(),
        );
        json!({
            "connections": self.connections,
            "rate_wanted": self.rate,
            "seconds": self.wall.as_secs_f64(),
            "ok": accepted.len(),
            "ok_per_s": count(accepted.len()) / measured.as_secs_f64().max(1e-9),
            "statuses": statuses,
            "p50_ms": quantile(&latencies, 0.5),
            "p99_ms": quantile(&latencies, 0.99),
            "max_ms": quantile(&latencies, 1.0),
            "service_p50_ms": quantile(&services, 0.5),
            "service_p99_ms": quantile(&services, 0.99),
            "generator_cpu_s": cpu.as_secs_f64(),
        })
    }
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times
}

/// A quantile of sorted times, in milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the share of a length is one of its indexes"
)]
fn quantile(sorted: &[Duration], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = ((count(sorted.len()) * share) as usize).min(last);
    Some(sorted[at].as_secs_f64() * 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
fn count(number: usize) -> f64 {
    number as f64
}
