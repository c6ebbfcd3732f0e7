//! The two forms of a command's output: text for people, JSON for scripts.

use std::io::{ErrorKind, Write};

use clap::Args;
use serde::Serialize;

use crate::presentation::text::one_line;

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct OutputFormat {
    /// Print one JSON document, for scripts.
    #[arg(long)]
    json: bool,
}

impl OutputFormat {
    /// Prints the value, as JSON or as the text that `text` makes of it.
    pub(super) fn print<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let mut text = if self.json {
            serde_json::to_string_pretty(value)?
        } else {
            text(value)
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        match std::io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()), // `| head`
            result => Ok(result?),
        }
    }
}

/// A table with aligned columns.
pub(super) struct TextTable {
    rows: Vec<Vec<String>>,
    is_flush_right: Vec<bool>,
}

impl TextTable {
    /// A table with these headings. A heading that begins with `>` makes its column flush right.
    pub(super) fn new(headings: &[&str]) -> Self {
        let is_flush_right = headings.iter().map(|text| text.starts_with('>')).collect();
        let headings = headings
            .iter()
            .map(|text| text.trim_start_matches('>').to_owned());
        Self {
            rows: vec![headings.collect()],
            is_flush_right,
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    pub(super) fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.is_flush_right.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.is_flush_right) {
                let pad = " ".repeat(width - cell.chars().count());
                let (before, after) = if *right {
                    (pad.as_str(), "")
                } else {
                    ("", pad.as_str())
                };
                line.extend([before, cell, after, "  "]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_flush_right() {
        let mut table = TextTable::new(&["KIND", ">N", "NOTE"]);
        table.row(["a".into(), "1000".into(), String::new()]);
        table.row(["größer".into(), "7".into(), "x\u{1b}[31m\ny".into()]);
        assert_eq!(
            table.text(),
            "KIND       N  NOTE\na       1000\ngrößer     7  x [31m y\n"
        );
    }
}
