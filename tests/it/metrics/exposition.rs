//! A strict parser of Prometheus's text format: unreadable text fails the test.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use crate::webhook::client;

/// The metrics of one response.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    pub(crate) text: String,
    pub(crate) help: BTreeMap<String, String>,
    pub(crate) types: BTreeMap<String, String>,
    /// The values by name and labels.
    pub(crate) samples: BTreeMap<Series, f64>,
}

/// A series: a name and sorted labels.
pub(crate) type Series = (String, BTreeMap<String, String>);

impl Scrape {
    /// Requests `/metrics` and parses it.
    pub(crate) async fn of(admin: SocketAddr) -> Self {
        let url = format!("http://{admin}/metrics");
        let answer = client().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self::read(answer.text().await.unwrap())
    }

    pub(crate) fn read(text: String) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                let before = scrape.help.insert(name.to_owned(), help.to_owned());
                assert_eq!(before, None, "{name} is explained twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                let before = scrape.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{name} has two types");
            } else {
                let (series, value) = sample(line);
                let before = scrape.samples.insert(series, value);
                assert_eq!(before, None, "twice: {line}");
            }
        }
        scrape.text = text;
        scrape
    }

    /// The sum of the series with this name and these labels, if any exists.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values: Vec<f64> = self
            .samples
            .iter()
            .filter(|((found, has), _)| {
                let matches = |(label, value): &(&str, &str)| {
                    has.get(*label).is_some_and(|found| found == value)
                };
                found == name && labels.iter().all(matches)
            })
            .map(|(_, value)| *value)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The names of the metrics that have samples. The series of a histogram count as one metric.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let histogram = |name: &str| self.types.get(name).is_some_and(|kind| kind == "histogram");
        let base = |name: &str| {
            let parts = ["_bucket", "_sum", "_count"];
            let base = parts.iter().find_map(|part| name.strip_suffix(part));
            base.filter(|base| histogram(base))
                .unwrap_or(name)
                .to_owned()
        };
        self.samples.keys().map(|(name, _)| base(name)).collect()
    }

    /// All series.
    pub(crate) fn series(&self) -> BTreeSet<Series> {
        self.samples.keys().cloned().collect()
    }
}

fn sample(line: &str) -> (Series, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value = value
        .parse()
        .unwrap_or_else(|_| panic!("no number: {line}"));
    let Some((name, labels)) = series.split_once('{') else {
        return ((series.to_owned(), BTreeMap::new()), value);
    };
    let labels = labels.strip_suffix('}').expect("the end of the labels");
    let labels = labels.split("\",").map(|label| {
        let (name, value) = label.split_once("=\"").expect("a label");
        let value = value.trim_end_matches('"');
        assert!(!value.contains(['"', '\\']), "a label to escape: {line}");
        (name.to_owned(), value.to_owned())
    });
    ((name.to_owned(), labels.collect()), value)
}
