//! The page of one job. It shows the same facts as `jobs show`, except those that stand for a
//! person.

use axum::extract::{Path, RawQuery, State};
use maud::{Markup, html};
use queue::admin::{self, JobDetails};
use serde::Deserialize;
use twilio::MessageSid;

use super::{
    error::{PageError, PageResult},
    fields::FormFields,
    flash::FlashMessage,
    form_token::FormToken,
    layout::{self, form, link, list},
    state::PageState,
};
use crate::presentation::{jobs::job_details, text::one_line};

/// Facts that stand for a person: a lane is a number's blind index, and a unique key may contain
/// one.
const HIDDEN: [&str; 2] = ["lane", "unique key"];

pub(super) async fn job(
    State(deps): PageState,
    Path(id): Path<String>,
    query: RawQuery,
) -> PageResult {
    let no_such_job = || {
        let text = "There is no such job: it has completed, or it was never enqueued.";
        PageError::NotFound(text.to_owned())
    };
    let id = id.parse().map_err(|_| no_such_job())?;
    let mut conn = deps.pool.acquire().await?;
    let job = admin::show(&mut *admin::begin(&mut conn).await?, id).await?;
    let flash = FlashMessage::of_query(&FormFields::of_query(query));
    let title = format!("Job {id}");
    let Some(job) = job else {
        // The job may have completed between the operator's click and this page.
        let Some(flash) = flash else {
            return Err(no_such_job());
        };
        let content = html! { p { "The job has completed since." } };
        return Ok(layout::page(&title, Some(flash), None, &content));
    };
    let mut lines = job_details(&job);
    lines.retain(|(name, _)| !HIDDEN.contains(&name.as_str()));
    let lines = lines.into_iter();
    let lines: Vec<_> = lines
        .map(|(name, value)| (name, html! { bdi { (one_line(&value)) } }))
        .collect();
    let content = html! { (list(&lines)) (message(&job)) (button(&job, &deps.token)) };
    Ok(layout::page(&title, flash, Some(job.at), &content))
}

/// A link to the message that the job processes, if it processes one.
fn message(job: &JobDetails) -> Markup {
    #[derive(Deserialize)]
    struct ArgsWithMessage {
        message: MessageSid,
    }
    let args = serde_json::from_str(job.args.get()).ok();
    let sid = args.map(|ArgsWithMessage { message }| message.to_string());
    html! {
        @if let Some(sid) = sid {
            p { a href=(link("/messages", &[("sid", &sid)])) { "Show the message" } }
        }
    }
}

fn button(job: &JobDetails, token: &FormToken) -> Markup {
    let id = job.id.to_string();
    let (action, text) = match job.state {
        admin::JobState::Dead => ("requeue", "Put it back into the queue"),
        admin::JobState::Scheduled => ("retry", "Run it now"),
        admin::JobState::Available | admin::JobState::Running => return html! {},
    };
    let fields = [("do", action), ("id", &id), ("back", "job")];
    form(token, &fields, &html! { button { (text) } })
}
