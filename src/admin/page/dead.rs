//! Dead letters, a page at a time, and the buttons that put them back.

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use queue::admin::{self, JobFilter, JobPage, ListedJob};

use super::{
    Answer, Fields, Shared, answer,
    change::{AT_ONCE, Told},
    guard::FormToken,
    layout::{ago, cell, form, frame, link, maybe, table},
};
use crate::cli::output::{clipped, plain};

/// The most dead letters on a page.
const LIMIT: u16 = 50;

/// The most characters of an error that a list shows.
const ERROR_LENGTH: usize = 300;

pub(super) async fn dead(State(page): Shared, query: RawQuery) -> Answer {
    let fields = Fields::of(query);
    let kind = fields.get("kind");
    let filter = JobFilter {
        kind: kind.map(str::to_owned),
        state: Some(admin::JobState::Dead),
        after: fields.get("after").and_then(|after| after.parse().ok()),
        limit: LIMIT,
        error: None,
    };
    let mut conn = page.pool.acquire().await?;
    let jobs = admin::list(&mut *admin::begin(&mut conn).await?, &filter).await?;
    let mut back = vec![("back", "dead")];
    back.extend(kind.map(|kind| ("of", kind)));
    let content = html! {
        @if let Some(kind) = kind {
            p { "Of the kind " code { (kind) } ". " a href="/dead" { "Show all kinds" } }
        }
        @if jobs.jobs.is_empty() {
            p { @if jobs.next.is_some() { "None among those." } @else { "None." } }
        } @else {
            section { (letters(&jobs, &page.forms, &back)) }
        }
        @if let Some(next) = jobs.next {
            @let next = next.to_string();
            @let mut query = vec![("after", next.as_str())];
            @let () = query.extend(kind.map(|kind| ("kind", kind)));
            p { a href=(link("/dead", &query)) { "Next page" } }
        }
        @if let (Some(kind), false) = (kind, jobs.jobs.is_empty()) {
            @let fields = [&[("do", "requeue_kind"), ("kind", kind)], back.as_slice()].concat();
            (form(&page.forms, &fields, &html! {
                button { "Retry all of " (kind) }
                " At most " (AT_ONCE) " at once, those that died first in front."
            }))
        }
    };
    let told = Told::of(&fields);
    Ok(answer(frame("Dead letters", told, Some(jobs.at), &content)))
}

/// A table of dead letters; `back` says where its buttons lead.
pub(super) fn letters(page: &JobPage, forms: &FormToken, back: &[(&str, &str)]) -> Markup {
    let headings = ["Job", "Kind", "Attempts", "Died", "Why", "Last error", ""];
    let row = |job: &ListedJob| {
        let id = job.id.to_string();
        let error = plain(job.last_error.as_deref().unwrap_or_default());
        let fields = [&[("do", "requeue"), ("id", id.as_str())], back].concat();
        let button = html! { button { "Retry" span.hidden { " job " (id) } } };
        vec![
            html! { a href={ "/jobs/" (id) } { (id) } },
            cell(&job.kind),
            html! { (job.attempts) " of " (job.max_attempts) },
            maybe(job.died_at.map(|at| ago(at, page.at))),
            maybe(job.reason.as_ref().map(|reason| reason.replace('_', " "))),
            html! { bdi.wide { (clipped(&error, ERROR_LENGTH)) } },
            form(forms, &fields, &button),
        ]
    };
    let rows: Vec<_> = page.jobs.iter().map(row).collect();
    table("Jobs that failed for good", &headings, &rows)
}
