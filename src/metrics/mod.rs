//! What is measured. Every metric is named in one place a crate: here, and in `metrics.rs` of `queue`, `twilio` and
//! `jobs`. Labels come from closed sets, so that the number of series does not grow with users or messages; none holds a
//! phone number, a text, a code or an id.

pub(crate) mod observed;
pub(crate) mod process;
pub(crate) mod receiver;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// For what somebody waits for: from a cached answer to Twilio's own patience.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0,
];

/// For what may wait for long: from at once to a day.
const LONG_SECONDS: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0,
];

/// Those that may.
const LONG: [&str; 3] = [
    "pigeonhole_queue_run_seconds",
    "pigeonhole_queue_wait_seconds",
    "pigeonhole_message_duration_seconds",
];

/// For numbers of messages that go together.
const SIZES: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];

/// Starts collecting metrics, for the whole process, and says what each means.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = recorder()
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot start collecting metrics")?;
    describe();
    Ok(handle)
}

/// What collects metrics, each unit in buckets of its own.
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

/// Says what each metric means, to whatever collects them. This is the list of all.
pub fn describe() {
    receiver::describe();
    queue::metrics::describe();
    jobs::metrics::describe();
    twilio::metrics::describe();
    process::describe();
    observed::describe();
}
