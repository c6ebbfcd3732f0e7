//! The first page: problems that need attention, the queues, the newest dead letters, messages by
//! state, and workers.

use axum::extract::{RawQuery, State};
use chrono::{TimeDelta, Utc};
use maud::{Markup, html};
use queue::admin::{self, JobFilter, KindStats, QueueStats, WorkerList};
use store::inbound_messages::message_history;

use super::{
    change::REASON_LENGTH,
    dead,
    error::PageResult,
    fields::FormFields,
    flash::FlashMessage,
    form_token::FormToken,
    layout::{self, ago, cell, form, link, maybe, table},
    messages,
    state::PageState,
};
use crate::presentation::{jobs::count, text::duration};

/// The most dead letters on the first page.
const DEAD_LETTERS: u16 = 10;

/// A job that has been available for longer than this needs attention.
const LONG: TimeDelta = TimeDelta::seconds(60);

type Time = chrono::DateTime<Utc>;

pub(super) async fn overview(State(deps): PageState, query: RawQuery) -> PageResult {
    let flash = FlashMessage::of_query(&FormFields::of_query(query));
    let mut conn = deps.pool.acquire().await?;
    let mut tx = admin::begin(&mut conn).await?;
    let stats = admin::stats(&mut tx).await?;
    let workers = admin::workers(&mut tx).await?;
    let filter = JobFilter {
        state: Some(admin::JobState::Dead),
        limit: DEAD_LETTERS,
        ..JobFilter::default()
    };
    let dead = admin::list(&mut tx, &filter).await?;
    let counted = message_history::count_by_state(&mut tx).await?;
    let content = html! {
        (attention(&stats, &workers))
        section { h2 { "Queues" } (queues(&stats, &deps.token)) }
        section {
            h2 { "Dead letters" }
            @if dead.jobs.is_empty() {
                p { "None." }
            } @else {
                (dead::letters(&dead, &deps.token, &[("back", "overview")]))
                p { a href="/dead" { "All dead letters" } }
            }
        }
        section { h2 { "Messages of the last day" } (messages::states(&counted)) (messages::search()) }
        section { h2 { "Workers" } (workers_table(&workers)) }
    };
    Ok(layout::page("Overview", flash, Some(stats.at), &content))
}

/// The problems that an operator should look at first.
fn attention(stats: &QueueStats, workers: &WorkerList) -> Markup {
    let mut points: Vec<Markup> = Vec::new();
    if !workers.workers.iter().any(|worker| !worker.stale) {
        points.push(html! { strong { "No worker is running." } " Start one with " code { "pigeonhole worker" } "." });
    }
    for worker in workers.workers.iter().filter(|worker| worker.stale) {
        points.push(html! {
            "The worker " (worker.name) " sent its last heartbeat " (ago(worker.seen_at, workers.at))
            ": it was killed, it hangs, or it cannot reach the database."
        });
    }
    for kind in &stats.kinds {
        points.extend(of_kind(kind, stats.at));
    }
    html! {
        section #attention .calm[points.is_empty()] {
            h2 { "Attention" }
            @if points.is_empty() {
                p { "Nothing needs attention." }
            } @else {
                ul { @for point in &points { li { (point) } } }
            }
        }
    }
}

fn of_kind(kind: &KindStats, now: Time) -> Vec<Markup> {
    let name = html! { code { (kind.kind) } };
    let waits = kind.available.count > 0;
    let mut points = Vec::new();
    if let Some(at) = kind.paused_at {
        points.push(html! { (name) " was paused " (ago(at, now)) "." });
    } else if waits && kind.workers == 0 {
        points.push(html! { "No worker runs " (name) ", and " (count(kind.available)) " of its jobs are available." });
    }
    let oldest = kind.oldest_available_since.map(|since| now - since);
    if let Some(oldest) = oldest.filter(|oldest| *oldest > LONG) {
        points.push(
            html! { "The oldest job of " (name) " has been waiting for " (duration(oldest)) "." },
        );
    }
    if kind.dead.count > 0 {
        let href = link("/dead", &[("kind", &kind.kind)]);
        points.push(html! { a href=(href) { "Dead letters of " (name) ": " (count(kind.dead)) } });
    }
    points
}

fn queues(stats: &QueueStats, token: &FormToken) -> Markup {
    if stats.kinds.is_empty() {
        return html! { p { "The queue is empty, and no worker has started yet." } };
    }
    let headings = [
        "Kind",
        "Available",
        "Running",
        "Scheduled",
        "Dead",
        "Oldest available",
        "Completed, last minute",
        "Completed, last hour",
        "Failed, last hour",
        "Workers",
        "Claims",
    ];
    let row = |kind: &KindStats| {
        let oldest = kind.oldest_available_since;
        let href = link("/dead", &[("kind", &kind.kind)]);
        vec![
            cell(&kind.kind),
            cell(count(kind.available)),
            cell(count(kind.running)),
            cell(count(kind.scheduled)),
            html! { @if kind.dead.count == 0 { "0" } @else { a.bad href=(href) { (count(kind.dead)) } } },
            maybe(oldest.map(|since| duration(stats.at - since))),
            cell(kind.completed_last_minute),
            cell(kind.completed_last_hour),
            html! { @if kind.failed_last_hour == 0 { "0" } @else { span.bad { (kind.failed_last_hour) } } },
            cell(kind.workers),
            claims(kind, stats.at, token),
        ]
    };
    let rows: Vec<_> = stats.kinds.iter().map(row).collect();
    table("Jobs by kind", &headings, &rows)
}

/// Whether workers claim the kind, with the button that changes it.
fn claims(kind: &KindStats, now: Time, token: &FormToken) -> Markup {
    let name = &kind.kind;
    if let Some(at) = kind.paused_at {
        let fields = [("do", "resume"), ("kind", name.as_str())];
        let button = html! { button { "Resume" span.hidden { " " (name) } } };
        return html! {
            span.bad { "Paused " (ago(at, now)) }
            @if let Some(reason) = &kind.paused_reason { ": " bdi { (reason) } }
            (form(token, &fields, &button))
        };
    }
    let fields = [("do", "pause"), ("kind", name.as_str())];
    let content = html! {
        label { "Reason " input name="reason" maxlength=(REASON_LENGTH) placeholder="for other operators"; }
        button { "Pause" span.hidden { " " (name) } }
    };
    html! {
        details { summary { "Pause…" span.hidden { " " (name) } } (form(token, &fields, &content)) }
    }
}

fn workers_table(workers: &WorkerList) -> Markup {
    if workers.workers.is_empty() {
        return html! { p { "None." } };
    }
    let row = |worker: &admin::WorkerProcess| {
        vec![
            cell(&worker.name),
            html! { @if worker.stale { span.bad { "stale" } } @else { "running" } },
            ago(worker.seen_at, workers.at),
            ago(worker.started_at, workers.at),
            html! { (worker.held) " of " (worker.concurrency) },
            html! { span.wide { (worker.kinds.join(", ")) } },
        ]
    };
    let headings = [
        "Worker",
        "State",
        "Last heartbeat",
        "Started",
        "Jobs held, of concurrency",
        "Kinds",
    ];
    let rows: Vec<_> = workers.workers.iter().map(row).collect();
    table("Workers", &headings, &rows)
}
