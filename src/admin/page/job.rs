//! One job: what `jobs show` shows, but for whose it is.

use axum::extract::{Path, RawQuery, State};
use maud::{Markup, html};
use queue::admin::{self, JobDetails};
use serde::Deserialize;
use twilio::MessageSid;

use super::{
    Answer, Fields, PageError, Shared, answer,
    change::Told,
    guard::FormToken,
    layout::{form, frame, link, list},
};
use crate::cli::{jobs::report, output::plain};

/// What stands for a person: a lane is a number's blind index, and a key may hold one.
const HIDDEN: [&str; 2] = ["lane", "unique key"];

pub(super) async fn job(State(page): Shared, Path(id): Path<String>, query: RawQuery) -> Answer {
    let no_such_job =
        || PageError::NotFound("There is no such job: it has completed, or never was.".to_owned());
    let id = id.parse().map_err(|_| no_such_job())?;
    let mut conn = page.pool.acquire().await?;
    let job = admin::show(&mut *admin::begin(&mut conn).await?, id).await?;
    let told = Told::of(&Fields::of(query));
    // Who has just put a job back may find it completed.
    let Some(job) = job else {
        let Some(told) = told else {
            return Err(no_such_job());
        };
        let content = html! { p { "It has completed since." } };
        return Ok(answer(frame(
            &format!("Job {id}"),
            Some(told),
            None,
            &content,
        )));
    };
    let mut lines = report::lines(&job);
    lines.retain(|(name, _)| !HIDDEN.contains(&name.as_str()));
    let lines = lines.into_iter();
    let lines: Vec<_> = lines
        .map(|(name, value)| (name, html! { bdi { (plain(&value)) } }))
        .collect();
    let content = html! { (list(&lines)) (message(&job)) (button(&job, &page.forms)) };
    Ok(answer(frame(
        &format!("Job {id}"),
        told,
        Some(job.at),
        &content,
    )))
}

/// The way to the message that the job is about, if it is about one.
fn message(job: &JobDetails) -> Markup {
    #[derive(Deserialize)]
    struct About {
        message: MessageSid,
    }
    let about = serde_json::from_str(job.args.get()).ok();
    let about = about.map(|About { message }| message.to_string());
    html! {
        @if let Some(sid) = about {
            p { a href=(link("/messages", &[("sid", &sid)])) { "What became of the message" } }
        }
    }
}

fn button(job: &JobDetails, forms: &FormToken) -> Markup {
    let id = job.id.to_string();
    let (wish, text) = match job.state {
        admin::JobState::Dead => ("requeue", "Retry: put it back into the queue"),
        admin::JobState::Scheduled => ("retry", "Run it now"),
        admin::JobState::Available | admin::JobState::Running => return html! {},
    };
    let fields = [("do", wish), ("id", &id), ("back", "job")];
    form(forms, &fields, &html! { button { (text) } })
}
