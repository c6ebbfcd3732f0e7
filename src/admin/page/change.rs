//! What the buttons do. All of it comes by one door, which checks that the form is one of ours.

use std::fmt;

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

use super::{Fields, PageError, Shared};

/// The most dead letters that one button puts back.
pub(super) const AT_ONCE: u32 = 1000;

/// The most characters of a reason.
pub(super) const REASON_LENGTH: usize = 200;

/// What an operator wants.
enum Wish {
    /// Put a dead letter back.
    Requeue(JobId),
    /// Put the dead letters of a kind back.
    RequeueKind(String),
    /// Run a job now that waits for its time.
    Retry(JobId),
    /// Have nobody claim a kind.
    Pause(String, Option<String>),
    /// Have it claimed again.
    Resume(String),
}

/// What came of it, for the page that is shown then: a name, and perhaps a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Requeued(u32),
    KeyTaken,
    NotDead,
    Retried,
    NotRetried,
    Paused,
    Resumed,
}

impl Told {
    /// What came of it, as the page's address says.
    pub(super) fn of(fields: &Fields) -> Option<Self> {
        let (name, number) = fields.get("told")?.split_once('-')?;
        let number = number.parse().ok()?;
        let all = [
            Self::Requeued(number),
            Self::KeyTaken,
            Self::NotDead,
            Self::Retried,
            Self::NotRetried,
            Self::Paused,
            Self::Resumed,
        ];
        all.into_iter().find(|told| told.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Requeued(_) => "requeued",
            Self::KeyTaken => "key_taken",
            Self::NotDead => "not_dead",
            Self::Retried => "retried",
            Self::NotRetried => "not_retried",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Requeued(number) => number,
            Self::KeyTaken
            | Self::NotDead
            | Self::Retried
            | Self::NotRetried
            | Self::Paused
            | Self::Resumed => 0,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requeued(0) => {
                "No dead letter was put back: there was none, or live jobs have their keys."
            }
            Self::Requeued(1) => "The dead letter is a job again, and ready.",
            Self::Requeued(number) => {
                return write!(f, "{number} dead letters are jobs again, and ready.");
            }
            Self::KeyTaken => "The dead letter stays: a live job has its unique key.",
            Self::NotDead => "It is no dead letter any more.",
            Self::Retried => "The job is ready now.",
            Self::NotRetried => "The job was left alone: it runs, or has ended.",
            Self::Paused => "Nobody claims jobs of this kind any more. Those that run go on.",
            Self::Resumed => "Jobs of this kind are claimed again.",
        })
    }
}

/// Takes a form, does what it says, and sends the browser back to where it was.
pub(super) async fn change(
    State(page): Shared,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, PageError> {
    let fields = Fields::parse(&body);
    page.forms.check(&headers, fields.get("token"))?;
    let wish = Wish::of(&fields)?;
    let mut conn = page.pool.acquire().await?;
    let told = wish.fulfil(&mut conn).await?;
    let told = format!("{}-{}", told.name(), told.number());
    let mut query = form_urlencoded::Serializer::new(String::new());
    let back = match (fields.get("back"), &wish) {
        (Some("job"), Wish::Requeue(id) | Wish::Retry(id)) => format!("/jobs/{id}"),
        (Some("dead"), _) => {
            query.extend_pairs(fields.get("of").map(|kind| ("kind", kind)));
            "/dead".to_owned()
        }
        (Some(_) | None, _) => "/".to_owned(),
    };
    let location = format!("{back}?{}", query.append_pair("told", &told).finish());
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

impl Wish {
    fn of(fields: &Fields) -> Result<Self, PageError> {
        let kind = || fields.get("kind").map(str::to_owned);
        let id = || fields.get("id")?.parse().ok();
        let reason = || {
            let reason = fields.get("reason")?;
            Some(reason.chars().take(REASON_LENGTH).collect())
        };
        let wish = match fields.get("do") {
            Some("requeue") => id().map(Self::Requeue),
            Some("requeue_kind") => kind().map(Self::RequeueKind),
            Some("retry") => id().map(Self::Retry),
            Some("pause") => kind().map(|kind| Self::Pause(kind, reason())),
            Some("resume") => kind().map(Self::Resume),
            Some(_) | None => None,
        };
        wish.ok_or(PageError::Form("The form says nothing that can be done."))
    }

    /// As the subcommands of `pigeonhole jobs` do it.
    async fn fulfil(&self, conn: &mut PgConnection) -> Result<Told, PageError> {
        let mut tx = admin::begin(conn).await?;
        let told = match self {
            Self::Requeue(id) => {
                let result = admin::requeue(&mut tx, &[*id]).await?;
                tracing::info!(
                    job.id = id,
                    requeued = result.requeued,
                    "an operator requeued a dead letter"
                );
                match (result.requeued, result.key_taken.is_empty()) {
                    (0, true) => Told::NotDead,
                    (0, false) => Told::KeyTaken,
                    (_, _) => Told::Requeued(1),
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
                Told::Requeued(number)
            }
            Self::Retry(id) => {
                let changed = admin::retry(&mut tx, &[*id]).await?;
                let fine = |result| matches!(result, JobChange::Done | JobChange::AlreadyAvailable);
                if changed.iter().any(|changed| fine(changed.result)) {
                    tracing::info!(job.id = id, "an operator made a job ready");
                    Told::Retried
                } else {
                    Told::NotRetried
                }
            }
            Self::Pause(kind, reason) => {
                let pause = admin::pause(&mut tx, kind, reason.as_deref()).await?;
                if !pause.known {
                    return Err(unknown(kind)); // and the transaction rolls back
                }
                tracing::info!(job.kind = kind, "an operator paused a kind");
                Told::Paused
            }
            Self::Resume(kind) => {
                let pause = admin::resume(&mut tx, kind).await?;
                if !pause.known {
                    return Err(unknown(kind));
                }
                tracing::info!(job.kind = kind, "an operator resumed a kind");
                Told::Resumed
            }
        };
        tx.commit().await?;
        admin::wake(conn).await?;
        Ok(told)
    }
}

fn unknown(kind: &str) -> PageError {
    PageError::NotFound(format!("No worker and no job is of the kind {kind}."))
}
