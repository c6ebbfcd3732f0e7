//! The metrics. Each crate names its metrics in one place: this module, and `metrics.rs` of the
//! other crates. Labels come from closed sets, so the number of series does not grow with users or
//! messages. No label holds a phone number, a text, a code or an id.

pub(crate) mod observed;
pub(crate) mod process;
pub(crate) mod receiver;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Buckets for short waits: from a cached response up to Twilio's timeout.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0,
];

/// Buckets for long waits: from milliseconds to a day.
const LONG_SECONDS: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0,
];

/// The metrics with long waits.
const LONG: [&str; 3] = [
    "pigeonhole_queue_run_seconds",
    "pigeonhole_queue_wait_seconds",
    "pigeonhole_message_duration_seconds",
];

/// Buckets for the sizes of batches.
const SIZES: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];

/// Starts to collect metrics for the whole process, and describes each.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = recorder()
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot start collecting metrics")?;
    describe();
    Ok(handle)
}

/// The collector of metrics, with buckets for each unit.
fn recorder() -> Result<PrometheusBuilder, metrics_exporter_prometheus::BuildError> {
    let suffix = |suffix: &str| Matcher::Suffix(suffix.to_owned());
    let mut builder = PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), &SECONDS)?
        .set_buckets_for_metric(suffix("_size"), &SIZES)?;
    for name in LONG {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &LONG_SECONDS)?;
    }
    Ok(builder)
}

/// Describes every metric. This is the list of all.
pub fn describe() {
    receiver::describe();
    queue::metrics::describe();
    jobs::metrics::describe();
    twilio::metrics::describe();
    process::describe();
    observed::describe();
}
