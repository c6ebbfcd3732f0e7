//! The parts that all pages share.

use axum::response::Html;
use chrono::{DateTime, SecondsFormat, Utc};
use maud::{DOCTYPE, Markup, html};
use url::form_urlencoded;

use super::{flash::FlashMessage, form_token::FormToken};
use crate::presentation::text::relative;

/// A whole page. `at` is the time at which all its figures were true.
pub(super) fn page(
    title: &str,
    flash: Option<FlashMessage>,
    at: Option<DateTime<Utc>>,
    content: &Markup,
) -> Html<String> {
    let here = |name| (name == title).then_some("page");
    let page = html! {
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
                    @if let Some(flash) = flash {
                        p #flash role="status" { (flash) }
                    }
                    h1 { (title) }
                    (content)
                }
                footer {
                    @if let Some(at) = at {
                        "As of " time datetime=(iso(at)) { (at.format("%Y-%m-%d %H:%M:%S UTC")) }
                        " by the database's clock. Load the page again for newer figures."
                    }
                }
            }
        }
    };
    Html(page.into_string())
}

/// The cells of a row. The first cell is the row's heading.
pub(super) type TableRow = Vec<Markup>;

/// A table. On a narrow screen each row becomes a card. CSS that changes the layout of a table
/// makes browsers drop the elements' roles, so the roles are written out.
pub(super) fn table(caption: &str, headings: &[&str], rows: &[TableRow]) -> Markup {
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

/// Whether a card may leave the cell out.
fn is_nothing(cell: &Markup) -> bool {
    ["", "0", NOTHING].contains(&cell.0.as_str())
}

/// The text of a cell without a value.
pub(super) const NOTHING: &str = "–";

/// A cell of text.
pub(super) fn cell(text: impl maud::Render) -> Markup {
    html! { (text) }
}

/// A cell of text, or [`NOTHING`].
pub(super) fn maybe(text: Option<impl maud::Render>) -> Markup {
    html! { @if let Some(text) = text { (text) } @else { (NOTHING) } }
}

/// A list of names with their values.
pub(super) fn list<N: maud::Render, V: maud::Render>(lines: &[(N, V)]) -> Markup {
    html! {
        dl { @for (name, value) in lines { dt { (name) } dd { (value) } } }
    }
}

/// A time relative to `now`. The tooltip shows it by the clock.
pub(super) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! { time datetime=(iso(at)) title=(at.format("%Y-%m-%d %H:%M:%S UTC")) { (relative(at, now)) } }
}

fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A form that posts to `/change`.
pub(super) fn form(token: &FormToken, fields: &[(&str, &str)], content: &Markup) -> Markup {
    html! {
        form method="post" action="/change" {
            input type="hidden" name="token" value=(token.as_str());
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            (content)
        }
    }
}

/// A path with a query string.
pub(super) fn link(path: &str, query: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    format!("{path}?{query}")
}
