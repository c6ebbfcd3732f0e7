//! Every declared metric exists, every existing metric is declared, and the help texts are
//! complete.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};

use super::{FREE, MetricsHarness, NOWHERE, exposition::Scrape};
use crate::database::{NUMBER, UNLINKED_NUMBER};

/// The values of some metrics after [`MetricsHarness::exercise_all`], summed over labels not named
/// here.
const COUNTED: &str = r#"
pigeonhole_receiver_webhooks_total{outcome="accepted"} 3
pigeonhole_receiver_webhooks_total{outcome="duplicate"} 2
pigeonhole_receiver_webhooks_total{outcome="mismatch"} 2
pigeonhole_messages_ended_total{state="processed"} 2
pigeonhole_messages_ended_total{state="ignored_unlinked"} 1
pigeonhole_message_duration_seconds_count 3
pigeonhole_messages{state="processed"} 2
pigeonhole_rate_limit_decisions_total{decision="now"} 2
pigeonhole_media_files_total{outcome="stored"} 1
pigeonhole_verifications_total{step="asked"} 2
pigeonhole_verifications_total{step="right"} 1
pigeonhole_verifications_total{step="wrong"} 1
pigeonhole_verifications_total{step="no_code"} 1
pigeonhole_verification_refusals_total{limit="resend_delay"} 1
pigeonhole_verification_budget_left 998
pigeonhole_twilio_calls_total{class="refused",outcome="invalid_number"} 1
pigeonhole_sends_ended_total{state="failed"} 1
pigeonhole_sms_spend_last_day_dollars 0.0083
pigeonhole_queue_attempts_total{outcome="dead_letter"} 1
pigeonhole_queue_permits_in_use 0
pigeonhole_queue_wait_seconds_count{kind="process_message"} 4
pigeonhole_queue_workers 1
pigeonhole_observer 1
"#;

/// The declaration of a metric.
#[derive(Debug, Clone, PartialEq)]
struct DeclaredMetric {
    kind: &'static str,
    unit: Option<Unit>,
    help: String,
}

/// Records the declarations.
#[derive(Debug, Default)]
struct DeclaredMetrics(Mutex<BTreeMap<String, DeclaredMetric>>);

impl DeclaredMetrics {
    fn all() -> BTreeMap<String, DeclaredMetric> {
        let catalogue = Self::default();
        with_local_recorder(&catalogue, pigeonhole::metrics::describe);
        catalogue.0.into_inner().unwrap()
    }

    fn note(&self, kind: &'static str, name: &KeyName, unit: Option<Unit>, help: &SharedString) {
        let help = help.to_string();
        let declared = DeclaredMetric { kind, unit, help };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.insert(name.as_str().to_owned(), declared);
        assert_eq!(before, None, "{} is declared twice", name.as_str());
    }
}

impl Recorder for DeclaredMetrics {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.note("counter", &name, unit, &help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.note("gauge", &name, unit, &help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.note("histogram", &name, unit, &help);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn every_metric_has_a_help_text_and_its_name_ends_in_its_unit() {
    for (name, declared) in DeclaredMetrics::all() {
        let DeclaredMetric { kind, unit, help } = &declared;
        assert!(
            name.starts_with("pigeonhole_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(help.len() > 10 && !help.contains('\n'), "{name}: {help:?}");
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{name}");
        let quantity = name.strip_suffix("_total").unwrap_or(&name);
        assert_eq!(
            quantity.ends_with("_seconds"),
            *unit == Some(Unit::Seconds),
            "{name}: {declared:?}"
        );
        assert_eq!(
            quantity.ends_with("_bytes"),
            *unit == Some(Unit::Bytes),
            "{name}: {declared:?}"
        );
        assert!(unit.is_some(), "{name}");
    }
}

#[tokio::test]
async fn after_a_run_every_declared_metric_exists_and_no_other() {
    let harness = MetricsHarness::start().await;
    harness.exercise_all().await;
    let scrape = harness
        .wait_for_metrics("the failed job is observed", |scrape| {
            let dead = [("kind", "process_message"), ("state", "dead")];
            scrape.value("pigeonhole_queue_jobs", &dead) == Some(1.0)
                && scrape.value("pigeonhole_sends_last_day", &[("state", "delivered")]) == Some(1.0)
        })
        .await;
    let declared = DeclaredMetrics::all();
    let names = scrape.names();
    let missing: Vec<&String> = declared
        .keys()
        .filter(|name| !names.contains(*name))
        .collect();
    assert!(
        missing.is_empty(),
        "not there: {missing:?} in\n{}",
        scrape.text
    );
    let unknown: Vec<&String> = names
        .iter()
        .filter(|name| !declared.contains_key(*name))
        .collect();
    assert!(unknown.is_empty(), "not declared: {unknown:?}");
    for (name, declared) in &declared {
        assert_eq!(scrape.types[name], declared.kind, "{name}");
        assert_eq!(scrape.help[name], declared.help, "{name}");
    }
    for ((name, labels), value) in Scrape::read(COUNTED.to_owned()).samples {
        let pairs: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(
            scrape.value(&name, &pairs),
            Some(value),
            "{name} {labels:?}"
        );
    }
    let waited = scrape.value("pigeonhole_queue_wait_seconds_sum", &[]);
    assert!((0.001..60.0).contains(&waited.unwrap()), "{waited:?}");
    let other = scrape.value("pigeonhole_queue_jobs", &[("kind", "other")]);
    assert_eq!(other, None, "a kind is missing from the list of all");
    for number in [NUMBER, UNLINKED_NUMBER, FREE, NOWHERE] {
        assert!(!scrape.text.contains(&number[2..]), "{}", scrape.text);
    }
}
