//! The files of the dashboards, alerts and runbooks.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The root of the repository.
pub(super) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder with this extension, sorted.
pub(super) fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|own| own == ending))
        .collect();
    paths.sort();
    paths
}

/// A panel of a dashboard.
pub(super) struct Panel {
    pub(super) dashboard: String,
    pub(super) json: Value,
}

/// A query of a panel.
pub(super) struct PanelQuery {
    pub(super) expr: String,
    pub(super) instant: bool,
}

impl Panel {
    pub(super) fn title(&self) -> &str {
        self.json["title"].as_str().unwrap()
    }

    pub(super) fn targets(&self) -> Vec<PanelQuery> {
        let targets = self.json["targets"].as_array().unwrap().iter();
        targets
            .map(|target| PanelQuery {
                expr: target["expr"].as_str().unwrap().to_owned(),
                instant: target["instant"].as_bool().unwrap(),
            })
            .collect()
    }

    /// The runbooks that it links to.
    pub(super) fn runbooks(&self) -> Vec<&str> {
        let links = self.json["links"].as_array().into_iter().flatten();
        links
            .map(|link| {
                let url = link["url"].as_str().unwrap();
                url.strip_prefix("${runbooks}/").expect(url)
            })
            .collect()
    }
}

impl fmt::Display for Panel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.dashboard, self.title())
    }
}

/// All panels of all dashboards, without rows.
pub(super) fn panels() -> Vec<Panel> {
    let mut panels = Vec::new();
    for path in files("grafana/dashboards", "json") {
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for json in dashboard["panels"].as_array().unwrap() {
            if json["type"] != "row" {
                panels.push(Panel {
                    dashboard: dashboard["title"].as_str().unwrap().to_owned(),
                    json: json.clone(),
                });
            }
        }
    }
    panels
}

/// An alert rule, read line by line without a YAML parser.
#[derive(Debug, Default)]
pub(super) struct AlertRule {
    pub(super) name: String,
    pub(super) severity: String,
    pub(super) summary: String,
    pub(super) runbook: String,
}

/// All alert rules, in order.
pub(super) fn alerts() -> Vec<AlertRule> {
    let mut alerts: Vec<AlertRule> = Vec::new();
    for line in alerts_text().lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            alerts.push(AlertRule {
                name: name.to_owned(),
                ..AlertRule::default()
            });
        }
        let Some(alert) = alerts.last_mut() else {
            continue;
        };
        for (key, value) in [
            ("severity: ", &mut alert.severity),
            ("summary: ", &mut alert.summary),
            ("runbook_url: ", &mut alert.runbook),
        ] {
            if let Some(text) = line.strip_prefix(key) {
                text.clone_into(value);
            }
        }
    }
    alerts
}

/// The text of the alert rules.
pub(super) fn alerts_text() -> String {
    fs::read_to_string(repository().join("grafana/prometheus/alerts.yml")).unwrap()
}
