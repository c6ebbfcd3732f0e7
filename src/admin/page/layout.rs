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

/// A table that scrolls within the page where it is too wide for it.
pub(super) fn table(caption: &str, headings: &[&str], rows: &[Markup]) -> Markup {
    html! {
        div.scroll role="region" tabindex="0" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr {
                    @for heading in headings { th scope="col" { (heading) } }
                } }
                tbody { @for row in rows { tr { (row) } } }
            }
        }
    }
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
