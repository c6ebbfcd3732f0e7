//! All metrics that the program declares.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};

/// The type of a metric, which determines the names of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricKind {
    Plain,
    Histogram,
}

/// The types of all metrics by name.
#[derive(Debug, Default)]
pub(super) struct MetricCatalogue(pub(super) BTreeMap<String, MetricKind>);

impl MetricCatalogue {
    /// Whether Prometheus can have a series of this name.
    pub(super) fn has_series(&self, name: &str) -> bool {
        self.metric_of(name).is_some()
    }

    /// The metric whose series has this name.
    pub(super) fn metric_of(&self, series: &str) -> Option<&str> {
        if let Some((name, MetricKind::Plain)) = self.0.get_key_value(series) {
            return Some(name);
        }
        ["_bucket", "_sum", "_count"].into_iter().find_map(|part| {
            match self.0.get_key_value(series.strip_suffix(part)?)? {
                (name, MetricKind::Histogram) => Some(name.as_str()),
                (_, MetricKind::Plain) => None,
            }
        })
    }
}

/// All metrics of the program.
pub(super) fn all() -> &'static MetricCatalogue {
    static ALL: LazyLock<MetricCatalogue> = LazyLock::new(|| {
        let described = DescribedMetrics::default();
        with_local_recorder(&described, pigeonhole::metrics::describe);
        MetricCatalogue(described.0.lock().unwrap().clone())
    });
    &ALL
}

/// Records the declarations and measures nothing.
#[derive(Default)]
struct DescribedMetrics(Arc<Mutex<BTreeMap<String, MetricKind>>>);

impl DescribedMetrics {
    fn note(&self, name: &KeyName, kind: MetricKind) {
        let mut names = self.0.lock().unwrap();
        names.insert(name.as_str().to_owned(), kind);
    }
}

impl Recorder for DescribedMetrics {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.note(&name, MetricKind::Plain);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.note(&name, MetricKind::Plain);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.note(&name, MetricKind::Histogram);
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
