//! The handler of all forms. It checks that the form is ours, makes the change, and redirects to
//! the page.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use queue::{
    JobId,
    admin::{self, DeadLetterFilter, JobChange},
};
use sqlx::PgConnection;
use url::form_urlencoded;

use super::{error::PageError, fields::FormFields, flash::FlashMessage, state::PageState};

/// The most dead letters that one button puts back.
pub(super) const AT_ONCE: u32 = 1000;

/// The most characters of a reason for a pause.
pub(super) const REASON_LENGTH: usize = 200;

/// The change that a form asks for.
enum RequestedAction {
    /// Put a dead letter back.
    Requeue(JobId),
    /// Put all dead letters of a kind back.
    RequeueKind(String),
    /// Run a scheduled job now.
    Retry(JobId),
    /// Stop workers from claiming a kind.
    Pause(String, Option<String>),
    /// Let workers claim the kind again.
    Resume(String),
}

/// Makes the change that the form asks for, and redirects the browser to the page that it came
/// from.
pub(super) async fn change(
    State(deps): PageState,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, PageError> {
    let fields = FormFields::parse(&body);
    let token = fields.get("token");
    deps.token
        .check(&headers, token)
        .map_err(PageError::Refused)?;
    let action = RequestedAction::parse(&fields)?;
    let mut conn = deps.pool.acquire().await?;
    let flash = action.run(&mut conn).await?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    let back = match (fields.get("back"), &action) {
        (Some("job"), RequestedAction::Requeue(id) | RequestedAction::Retry(id)) => {
            format!("/jobs/{id}")
        }
        (Some("dead"), _) => {
            query.extend_pairs(fields.get("of").map(|kind| ("kind", kind)));
            "/dead".to_owned()
        }
        (Some(_) | None, _) => "/".to_owned(),
    };
    let (name, value) = flash.to_query();
    let location = format!("{back}?{}", query.append_pair(name, &value).finish());
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

impl RequestedAction {
    fn parse(fields: &FormFields) -> Result<Self, PageError> {
        let kind = || fields.get("kind").map(str::to_owned);
        let id = || fields.get("id")?.parse().ok();
        let reason = || {
            let reason = fields.get("reason")?;
            Some(reason.chars().take(REASON_LENGTH).collect())
        };
        let action = match fields.get("do") {
            Some("requeue") => id().map(Self::Requeue),
            Some("requeue_kind") => kind().map(Self::RequeueKind),
            Some("retry") => id().map(Self::Retry),
            Some("pause") => kind().map(|kind| Self::Pause(kind, reason())),
            Some("resume") => kind().map(Self::Resume),
            Some(_) | None => None,
        };
        action.ok_or(PageError::Form(
            "The form asks for no change that is possible.",
        ))
    }

    /// Makes the change in the same way as the subcommands of `pigeonhole jobs`.
    async fn run(&self, conn: &mut PgConnection) -> Result<FlashMessage, PageError> {
        let mut tx = admin::begin(conn).await?;
        let flash = match self {
            Self::Requeue(id) => {
                let result = admin::requeue(&mut tx, &[*id]).await?;
                tracing::info!(
                    job.id = id,
                    requeued = result.requeued,
                    "an operator requeued a dead letter"
                );
                match (result.requeued, result.key_taken.is_empty()) {
                    (0, true) => FlashMessage::NotDead,
                    (0, false) => FlashMessage::KeyTaken,
                    (_, _) => FlashMessage::Requeued(1),
                }
            }
            Self::RequeueKind(kind) => {
                let filter = DeadLetterFilter {
                    kind: Some(kind.clone()),
                    ..DeadLetterFilter::default()
                };
                let limit = usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
                let (result, _) = admin::requeue_all(&mut tx, &filter, limit, None).await?;
                let number = u32::try_from(result.requeued).unwrap_or(u32::MAX);
                if number > 0 {
                    tracing::info!(
                        job.kind = kind,
                        requeued = number,
                        "an operator requeued dead letters"
                    );
                }
                FlashMessage::Requeued(number)
            }
            Self::Retry(id) => {
                let changed = admin::retry(&mut tx, &[*id]).await?;
                let is_done =
                    |result| matches!(result, JobChange::Done | JobChange::AlreadyAvailable);
                if changed.iter().any(|changed| is_done(changed.result)) {
                    tracing::info!(job.id = id, "an operator made a job ready");
                    FlashMessage::Retried
                } else {
                    FlashMessage::NotRetried
                }
            }
            Self::Pause(kind, reason) => {
                let pause = admin::pause(&mut tx, kind, reason.as_deref()).await?;
                if !pause.known {
                    return Err(unknown(kind)); // the transaction rolls back
                }
                tracing::info!(job.kind = kind, "an operator paused a kind");
                FlashMessage::Paused
            }
            Self::Resume(kind) => {
                let pause = admin::resume(&mut tx, kind).await?;
                if !pause.known {
                    return Err(unknown(kind));
                }
                tracing::info!(job.kind = kind, "an operator resumed a kind");
                FlashMessage::Resumed
            }
        };
        tx.commit().await?;
        admin::wake(conn).await?;
        Ok(flash)
    }
}

fn unknown(kind: &str) -> PageError {
    PageError::NotFound(format!(
        "No worker runs the kind {kind}, and no job has it."
    ))
}
