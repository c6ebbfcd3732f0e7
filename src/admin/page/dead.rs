//! The list of dead letters, page by page, with the buttons that put them back.

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use queue::admin::{self, JobFilter, JobPage, ListedJob};

use super::{
    change::AT_ONCE,
    error::PageResult,
    fields::FormFields,
    flash::FlashMessage,
    form_token::FormToken,
    layout::{self, ago, cell, form, link, maybe, table},
    state::PageState,
};
use crate::presentation::text::{clipped, one_line};

/// The most dead letters on a page.
const LIMIT: u16 = 50;

/// The most characters of an error that a list shows.
const ERROR_LENGTH: usize = 300;

pub(super) async fn dead(State(deps): PageState, query: RawQuery) -> PageResult {
    let fields = FormFields::of_query(query);
    let kind = fields.get("kind");
    let filter = JobFilter {
        kind: kind.map(str::to_owned),
        state: Some(admin::JobState::Dead),
        after: fields.get("after").and_then(|after| after.parse().ok()),
        limit: LIMIT,
        error: None,
    };
    let mut conn = deps.pool.acquire().await?;
    let jobs = admin::list(&mut *admin::begin(&mut conn).await?, &filter).await?;
    let mut back = vec![("back", "dead")];
    back.extend(kind.map(|kind| ("of", kind)));
    let content = html! {
        @if let Some(kind) = kind {
            p { "Only the kind " code { (kind) } ". " a href="/dead" { "Show all kinds" } }
        }
        @if jobs.jobs.is_empty() {
            p { @if jobs.next.is_some() { "None on this page." } @else { "None." } }
        } @else {
            section { (letters(&jobs, &deps.token, &back)) }
        }
        @if let Some(next) = jobs.next {
            @let next = next.to_string();
            @let mut query = vec![("after", next.as_str())];
            @let () = query.extend(kind.map(|kind| ("kind", kind)));
            p { a href=(link("/dead", &query)) { "Next page" } }
        }
        @if let (Some(kind), false) = (kind, jobs.jobs.is_empty()) {
            @let fields = [&[("do", "requeue_kind"), ("kind", kind)], back.as_slice()].concat();
            (form(&deps.token, &fields, &html! {
                button { "Retry all of " (kind) }
                " Puts back at most " (AT_ONCE) " at once. Those that died first come first."
            }))
        }
    };
    let flash = FlashMessage::of_query(&fields);
    Ok(layout::page("Dead letters", flash, Some(jobs.at), &content))
}

/// A table of dead letters. The fields `back` name the page that the buttons return to.
pub(super) fn letters(page: &JobPage, token: &FormToken, back: &[(&str, &str)]) -> Markup {
    let headings = [
        "Job",
        "Kind",
        "Attempts",
        "Died",
        "Reason",
        "Last error",
        "",
    ];
    let row = |job: &ListedJob| {
        let id = job.id.to_string();
        let error = one_line(job.last_error.as_deref().unwrap_or_default());
        let fields = [&[("do", "requeue"), ("id", id.as_str())], back].concat();
        let button = html! { button { "Retry" span.hidden { " job " (id) } } };
        vec![
            html! { a href={ "/jobs/" (id) } { (id) } },
            cell(&job.kind),
            html! { (job.attempts) " of " (job.max_attempts) },
            maybe(job.died_at.map(|at| ago(at, page.at))),
            maybe(job.reason.as_ref().map(|reason| reason.replace('_', " "))),
            html! { bdi.wide { (clipped(&error, ERROR_LENGTH)) } },
            form(token, &fields, &button),
        ]
    };
    let rows: Vec<_> = page.jobs.iter().map(row).collect();
    table("Dead letters", &headings, &rows)
}
