//! Dashboards and alerts are checked against a real run: a real Prometheus scrapes real processes
//! under load, every query parses, names only existing metrics, and returns data.

mod alert_harness;
mod catalogue;
mod crowd;
mod files;
mod healing;
mod load;
mod prometheus;
mod promql;
pub(crate) mod small_disk;
mod written;

use std::{collections::BTreeSet, process::Command, time::Duration};

use crate::{
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
};
use files::{Panel, repository};
use load::DashboardHarness;
use prometheus::{Prometheus, promtool};
use promql::{replaced, selectors};

/// Series that Prometheus itself creates.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

/// Panels that have no data in a healthy run.
const MAY_BE_EMPTY: [(&str, &str); 0] = [];

/// How long the load runs before the checks: several observations, which come every five seconds.
const WARM_UP: Duration = Duration::from_secs(20);

/// The alerts that the load triggers and that fire without delay: jobs of missing messages, and
/// webhooks signed for another host.
const PLANTED: [&str; 2] = ["PigeonholeDeadLetters", "PigeonholeSignatureFailures"];

/// The alert about the machine's disk, which may really be full.
const OF_THE_MACHINE: &str = "PigeonholeDiskFilling";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_and_alert_has_data_under_load_and_names_only_existing_metrics() {
    if !prometheus::is_there() {
        return;
    }
    let pictures = test_run_variable("PIGEONHOLE_DASHBOARD_PICTURES");
    // Processes update some metrics every five seconds. Scraping faster would show steps in the
    // pictures.
    let scrape = if pictures.is_some() { 5 } else { 1 };
    let stage = DashboardHarness::start().await;
    let prometheus = Prometheus::start(&stage.admin_addrs(), scrape).await;
    let load = stage.load();
    let warm_up = test_run_variable("PIGEONHOLE_DASHBOARD_SECONDS")
        .map_or(WARM_UP, |text| Duration::from_secs(text.parse().unwrap()));
    prometheus.wait_for_samples(warm_up).await;

    let mut wrong = Vec::new();
    for panel in files::panels() {
        for target in panel.targets() {
            if let Err(error) = answered(&prometheus, &panel, &target).await {
                wrong.push(format!("{panel}: {error}\n    {}", target.expr));
            }
        }
    }
    for rule in prometheus.rules().await {
        if let Err(error) = evaluates(&prometheus, &rule).await {
            wrong.push(format!("{}: {error}\n    {}", rule.name, rule.query));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Exactly the alerts that the load triggers must fire.
    let planted = BTreeSet::from(PLANTED.map(str::to_owned));
    eventually("the planted faults raise alerts", PATIENCE, async || {
        let firing = prometheus.firing().await;
        firing.is_superset(&planted).then_some(())
    })
    .await;
    let mut firing = prometheus.firing().await;
    firing.remove(OF_THE_MACHINE);
    assert_eq!(firing, planted);

    if let Some(folder) = pictures {
        draw(&prometheus, &folder, warm_up).await;
    }
    load.finish().await;
}

/// Checks that the panel's query returns data.
async fn answered(
    prometheus: &Prometheus,
    panel: &Panel,
    target: &files::PanelQuery,
) -> Result<(), String> {
    only_what_is_measured(&target.expr)?;
    let expr = replaced(&target.expr, prometheus.scrape());
    let answered = if target.instant {
        prometheus.has_value(&expr).await?
    } else {
        prometheus.has_values_of_late(&expr).await?
    };
    let may_be_empty = MAY_BE_EMPTY.contains(&(panel.dashboard.as_str(), panel.title()));
    match (answered, may_be_empty) {
        (true, false) | (false, true) => Ok(()),
        (false, false) => Err("no data".to_owned()),
        (true, true) => Err("has data: it need not be on the list of empty panels".to_owned()),
    }
}

/// Checks that the alert is evaluated without an error and uses existing series.
async fn evaluates(
    prometheus: &Prometheus,
    rule: &prometheus::EvaluatedRule,
) -> Result<(), String> {
    only_what_is_measured(&rule.query)?;
    if rule.health != "ok" {
        return Err(format!("it is {}: {}", rule.health, rule.error));
    }
    for selector in selectors(&rule.query) {
        let any = format!("last_over_time({}[5m])", selector.text);
        if !prometheus.has_value(&any).await? {
            return Err(format!("{} selects nothing", selector.text));
        }
    }
    Ok(())
}

fn only_what_is_measured(expr: &str) -> Result<(), String> {
    let catalogue = catalogue::all();
    for selector in selectors(expr) {
        let name = selector.name.as_str();
        if !catalogue.has_series(name) && !OF_PROMETHEUS.contains(&name) {
            return Err(format!("nothing is called {name}"));
        }
    }
    Ok(())
}

/// Renders all dashboards with Grafana's own components; see `script/screenshots`.
async fn draw(prometheus: &Prometheus, folder: &str, shown: Duration) {
    let mut node = tokio::process::Command::new("node");
    node.arg(repository().join("grafana/render/render.mjs"))
        .args([prometheus.url(), folder])
        .args([shown.as_secs(), prometheus.scrape()].map(|seconds| seconds.to_string()));
    assert!(node.status().await.unwrap().success());
}

#[test]
fn the_promtool_tests_of_the_alerts_pass() {
    if !prometheus::is_there() {
        return;
    }
    let folder = repository().join("grafana/prometheus");
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let output = Command::new(promtool())
            .args(arguments)
            .current_dir(&folder)
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {arguments:?}: {said}");
    }
}
