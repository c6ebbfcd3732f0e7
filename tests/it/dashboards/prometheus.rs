//! A Prometheus server of the test, and its query API.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::files::repository;
use crate::{
    browser::{UNTIL_INPUT_ENDS, on_path},
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
    webhook::client,
};

/// Searches the path, and the directory into which `script/bootstrap --full` unpacks Prometheus.
fn program(name: &str) -> Option<PathBuf> {
    let unpacked = repository().join("target/tools/bin").join(name);
    on_path(name).or_else(|| unpacked.is_file().then_some(unpacked))
}

/// Whether Prometheus is installed. If not, prints a notice, or fails if
/// `PIGEONHOLE_REQUIRE_PROMETHEUS` is set.
pub(super) fn is_there() -> bool {
    let there = program("prometheus").is_some() && program("promtool").is_some();
    if !there {
        let what = "prometheus and promtool are not both there: script/bootstrap --full gets them";
        let required = test_run_variable("PIGEONHOLE_REQUIRE_PROMETHEUS").is_some();
        assert!(!required, "{what}");
        eprintln!("SKIPPED: {what}");
    }
    there
}

/// The path of promtool, which checks rules.
pub(super) fn promtool() -> PathBuf {
    program("promtool").unwrap()
}

/// A free port outside the range of ephemeral ports.
pub(super) fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| rand::random_range(10_000..=30_000_u16));
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// An alert rule as Prometheus has evaluated it.
pub(super) struct EvaluatedRule {
    pub(super) name: String,
    pub(super) query: String,
    pub(super) health: String,
    pub(super) error: String,
}

/// A server that scrapes the processes and evaluates the alert rules. Dropping it ends it.
pub(super) struct Prometheus {
    process: Child,
    url: String,
    scrape: u64,
    client: reqwest::Client,
    _data: TempDir,
}

impl Prometheus {
    /// Starts a server that scrapes these addresses at this interval in seconds.
    pub(super) async fn start(targets: &[SocketAddr], scrape: u64) -> Self {
        let rules = repository().join("grafana/prometheus/alerts.yml");
        Self::with_rules(targets, scrape, &rules).await
    }

    /// The same with other alert rules.
    pub(super) async fn with_rules(targets: &[SocketAddr], scrape: u64, rules: &Path) -> Self {
        let data = tempfile::tempdir().unwrap();
        let targets: Vec<_> = targets.iter().map(|addr| format!("\"{addr}\"")).collect();
        let config = format!(
            "global: {{scrape_interval: {scrape}s, evaluation_interval: {scrape}s}}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs: [{{job_name: pigeonhole, static_configs: [{{targets: [{}]}}]}}]\n",
            rules.display(),
            targets.join(", "),
        );
        let file = data.path().join("prometheus.yml");
        fs::write(&file, config).unwrap();
        // Prometheus does not report which free port it got.
        let port = free_port();
        let process = Command::new("sh")
            .args(["-c", UNTIL_INPUT_ENDS, "sh"])
            .arg(program("prometheus").unwrap())
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                data.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--log.level=error"])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            scrape,
            client: client(),
            _data: data,
        };
        eventually("Prometheus is ready", PATIENCE, async || {
            let ready = prometheus.client.get(format!("{}/-/ready", prometheus.url));
            let answer = ready.send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        prometheus
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The scrape interval in seconds.
    pub(super) fn scrape(&self) -> u64 {
        self.scrape
    }

    /// Waits until it has scraped every process for this time, and has the observer's metrics.
    pub(super) async fn wait_for_samples(&self, time: Duration) {
        let started = Instant::now();
        let samples = (time.as_secs() / self.scrape).saturating_sub(1);
        let enough = format!(
            "min(count_over_time(up{{job=\"pigeonhole\"}}[1h])) > {samples} and on () pigeonhole_observer == 1"
        );
        eventually("there are enough samples", time + PATIENCE, async || {
            // This takes long, so the test asks rarely.
            tokio::time::sleep(Duration::from_millis(500)).await;
            if started.elapsed() < time {
                return None;
            }
            self.has_value(&enough).await.unwrap().then_some(())
        })
        .await;
    }

    /// Whether the query has a value now.
    pub(super) async fn has_value(&self, expr: &str) -> Result<bool, String> {
        let data = self.ask("query", &[("query", expr)]).await?;
        Ok(numbers(&data).next().is_some())
    }

    /// Whether the query had a value within the last 30 seconds, evaluated each second as a panel
    /// does.
    pub(super) async fn has_values_of_late(&self, expr: &str) -> Result<bool, String> {
        let now = self.ask("query", &[("query", "time()")]).await?;
        let now = now["result"][0].as_f64().unwrap();
        let (start, end) = ((now - 30.0).to_string(), now.to_string());
        let parameters = [
            ("query", expr),
            ("start", &start),
            ("end", &end),
            ("step", "1"),
        ];
        let data = self.ask("query_range", &parameters).await?;
        Ok(numbers(&data).next().is_some())
    }

    /// All alert rules, after each has been evaluated.
    pub(super) async fn rules(&self) -> Vec<EvaluatedRule> {
        eventually("all alerts are evaluated", PATIENCE, async || {
            let data = self.ask("rules", &[]).await.unwrap();
            let groups = data["groups"].as_array().unwrap().iter();
            let rules: Vec<_> = groups
                .flat_map(|group| group["rules"].as_array().unwrap())
                .map(|rule| EvaluatedRule {
                    name: rule["name"].as_str().unwrap().to_owned(),
                    query: rule["query"].as_str().unwrap().to_owned(),
                    health: rule["health"].as_str().unwrap().to_owned(),
                    error: rule["lastError"].to_string(),
                })
                .collect();
            rules
                .iter()
                .all(|rule| rule.health != "unknown")
                .then_some(rules)
        })
        .await
    }

    /// The names of the firing alerts.
    pub(super) async fn firing(&self) -> BTreeSet<String> {
        let data = self.ask("alerts", &[]).await.unwrap();
        let alerts = data["alerts"].as_array().unwrap().iter();
        alerts
            .filter(|alert| alert["state"] == "firing")
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let request = self.client.get(format!("{}/api/v1/{what}", self.url));
        let answer = request.query(parameters).send().await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["data"].take()),
        }
    }
}

/// All numbers in a response, without NaN, such as a ratio with a zero denominator.
fn numbers(data: &Value) -> impl Iterator<Item = f64> {
    let series = data["result"].as_array().unwrap().iter();
    let samples = series.flat_map(|series| match &series["values"] {
        Value::Array(values) => values.iter().collect(),
        _ => vec![&series["value"]],
    });
    samples.filter_map(|sample| {
        let value: f64 = sample[1].as_str()?.parse().ok()?;
        value.is_finite().then_some(value)
    })
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().ok();
    }
}
