//! Text for people, JSON for scripts.

use std::io::{ErrorKind, Write};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct Output {
    /// Print one JSON document, for scripts.
    #[arg(long)]
    json: bool,
}

impl Output {
    /// Prints the report, by `text` or as JSON.
    pub(super) fn print<T: Serialize>(
        self,
        report: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let mut text = if self.json {
            serde_json::to_string_pretty(report)?
        } else {
            text(report)
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

/// Aligned columns.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// With these headings; a `>` in front means that the column is flush right.
    pub(super) fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|text| text.starts_with('>')).collect();
        let headings = headings
            .iter()
            .map(|text| text.trim_start_matches('>').to_owned());
        Self {
            rows: vec![headings.collect()],
            right,
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }

    pub(super) fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
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

/// Text as a terminal may show it, on one line: errors can hold what an outsider sent.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// At most so many characters of it.
pub(crate) fn clipped(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut text: String = text.chars().take(length - 1).collect();
    text.push('…');
    text
}

/// A length of time in its two largest units, such as `3m 20s`.
pub(crate) fn duration(length: TimeDelta) -> String {
    let seconds = length.num_seconds().max(0);
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        (_, _, _) => format!("{days}d {hours}h"),
    }
}

/// A time as seen from `now`, such as `3m 20s ago` or `in 5s`.
pub(crate) fn relative(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if time > now {
        format!("in {}", duration(time - now))
    } else {
        format!("{} ago", duration(now - time))
    }
}

/// A time for people, with how long ago that was or will be.
pub(super) fn time(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!(
        "{} ({})",
        time.format("%Y-%m-%d %H:%M:%S UTC"),
        relative(time, now)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_shows_its_two_largest_units() {
        let text = |seconds| duration(TimeDelta::seconds(seconds));
        assert_eq!(text(-3), "0s");
        assert_eq!(text(59), "59s");
        assert_eq!(text(200), "3m 20s");
        assert_eq!(text(3600), "1h 0m");
        assert_eq!(text(7 * 86_400 + 3 * 3600), "7d 3h");
    }

    #[test]
    fn columns_are_aligned_and_numbers_flush_right() {
        let mut table = Table::new(&["KIND", ">N", "NOTE"]);
        table.row(["a".into(), "1000".into(), String::new()]);
        table.row(["größer".into(), "7".into(), "x\u{1b}[31m\ny".into()]);
        assert_eq!(
            table.text(),
            "KIND       N  NOTE\na       1000\ngrößer     7  x [31m y\n"
        );
    }

    #[test]
    fn a_long_text_is_clipped_by_characters() {
        assert_eq!(clipped("größer", 6), "größer");
        assert_eq!(clipped("größer", 5), "größ…");
    }
}
