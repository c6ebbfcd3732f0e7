//! What all pages have in common.

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{DOCTYPE, Markup, html};
use url::form_urlencoded;

use super::{change::Told, guard::FormToken};
use crate::cli::output::relative;

/// A whole page. `at` is when all of it was so.
pub(super) fn frame(
    title: &str,
    told: Option<Told>,
    at: Option<DateTime<Utc>>,
    content: &Markup,
) -> Markup {
    let here = |name| (name == title).then_some("page");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · Pigeonhole" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/page.css";
            }
            body {
                header {
                    strong { "Pigeonhole" }
                    nav aria-label="Pages" {
                        a href="/" aria-current=[here("Overview")] { "Overview" }
                        a href="/dead" aria-current=[here("Dead letters")] { "Dead letters" }
                        a href="/messages" aria-current=[here("Messages")] { "Messages" }
                    }
                }
                main {
                    @if let Some(told) = told {
                        p #told role="status" { (told) }
                    }
                    h1 { (title) }
                    (content)
                }
                footer {
                    @if let Some(at) = at {
                        "As of " time datetime=(iso(at)) { (at.format("%Y-%m-%d %H:%M:%S UTC")) }
                        ", by the database's clock. To see it as it is now, load the page again."
                    }
                }
            }
        }
    }
}

/// The cells of a row; the first one is its heading.
pub(super) type Row = Vec<Markup>;

/// A table, whose rows are cards where it is too wide for the screen. The roles say what the elements are, which
/// browsers forget of those that are laid out otherwise.
pub(super) fn table(caption: &str, headings: &[&str], rows: &[Row]) -> Markup {
    html! {
        div.scroll role="region" tabindex="0" aria-label=(caption) {
            table role="table" {
                caption.hidden { (caption) }
                thead role="rowgroup" { tr role="row" {
                    @for heading in headings { th scope="col" role="columnheader" { (heading) } }
                } }
                tbody role="rowgroup" { @for cells in rows { tr role="row" {
                    @for (heading, cell) in headings.iter().zip(cells).take(1) {
                        th scope="row" role="rowheader" data-label=(heading) { div { (cell) } }
                    }
                    @for (heading, cell) in headings.iter().zip(cells).skip(1) {
                        td role="cell" data-label=(heading) .quiet[is_nothing(cell)] { div { (cell) } }
                    }
                } } }
            }
        }
    }
}

/// A cell that a card can do without.
fn is_nothing(cell: &Markup) -> bool {
    ["", "0", NOTHING].contains(&cell.0.as_str())
}

/// Where there is no figure.
pub(super) const NOTHING: &str = "–";

/// A cell of text.
pub(super) fn cell(text: impl maud::Render) -> Markup {
    html! { (text) }
}

/// A cell of text, if there is any.
pub(super) fn maybe(text: Option<impl maud::Render>) -> Markup {
    html! { @if let Some(text) = text { (text) } @else { (NOTHING) } }
}

/// Names and what they stand for.
pub(super) fn list<N: maud::Render, V: maud::Render>(lines: &[(N, V)]) -> Markup {
    html! {
        dl { @for (name, value) in lines { dt { (name) } dd { (value) } } }
    }
}

/// A time as seen from `now`, and by the clock for who points at it.
pub(super) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { time datetime=(iso(at)) title=(at.format("%Y-%m-%d %H:%M:%S UTC")) { (relative(at, now)) } }
}

fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A form for [`super::change`].
pub(super) fn form(token: &FormToken, fields: &[(&str, &str)], content: &Markup) -> Markup {
    html! {
        form method="post" action="/change" {
            input type="hidden" name="token" value=(token.as_str());
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            (content)
        }
    }
}

/// An address with a query.
pub(super) fn link(path: &str, query: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    format!("{path}?{query}")
}
