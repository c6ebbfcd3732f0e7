//! The table and the JSON file.

use std::fs;

use serde_json::{Value, json};

use crate::setup::BenchDatabase;

pub(crate) struct Report {
    machine: String,
    rows: Vec<(String, String, String)>,
    figures: serde_json::Map<String, Value>,
}

impl Report {
    pub(crate) fn new(bench: &BenchDatabase) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let version = bench.server.bin_dir().display().to_string();
        Self {
            machine: format!("{cores} cores, Postgres from {version}, fsync on, payload 600 bytes"),
            rows: Vec::new(),
            figures: serde_json::Map::new(),
        }
    }

    /// A line of the table: what, its figure, and what it is to be compared with.
    pub(crate) fn line(
        &mut self,
        what: &str,
        figure: impl Into<String>,
        beside: impl Into<String>,
    ) {
        let (figure, beside) = (figure.into(), beside.into());
        println!("  {what}: {figure}  {beside}");
        self.rows.push((what.to_owned(), figure, beside));
    }

    /// A number for the JSON file.
    pub(crate) fn figure(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), json!(value));
    }

    pub(crate) fn print(&self) {
        println!("\n{}\n", self.machine);
        println!("| what | figure | beside |\n| --- | --- | --- |");
        for (what, figure, beside) in &self.rows {
            println!("| {what} | {figure} | {beside} |");
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bench");
        fs::create_dir_all(file).unwrap();
        let text = serde_json::to_string_pretty(&json!({
            "machine": self.machine,
            "figures": self.figures,
        }));
        fs::write(format!("{file}/queue.json"), text.unwrap()).unwrap();
    }
}
