//! Rebuilds missing messages and stores them with their jobs, many in one commit.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use store::{
    inbound_messages::{self, MessageSource, NewMessage, RecoveredMessage},
    recovery::{self, UnrecoverableReason},
};
use twilio::{
    InboundWebhook,
    rest::{InboundRecord, ListError, WebhookAlert},
};

use super::{
    alerts::parameters,
    look::Look,
    rebuild::{RebuiltMessage, from_alert, from_list},
    report::{FoundMessage, FoundState},
};
use crate::{RecoveryDeps, StepError, metrics};

/// How many messages one commit accepts.
const BATCH: usize = 200;

/// How many requests to Twilio are in flight at once.
const REQUESTS: usize = 4;

/// What became of a record of the list.
type Rebuilt = Result<Result<RebuiltMessage, UnrecoverableReason>, ListError>;

/// Accepts these messages, which are sorted by their time. Returns false if the look has taken too
/// long before all of them were accepted.
pub(super) async fn accept(
    deps: &RecoveryDeps,
    look: &mut Look,
    missing: Vec<InboundRecord>,
) -> Result<bool, StepError> {
    look.webhooks.read(deps, &missing, look.now).await;
    for batch in missing.chunks(BATCH) {
        if look.is_too_long() {
            return Ok(false);
        }
        if look.scope.dry_run {
            for record in batch {
                note(look, record, FoundState::Missing);
            }
            continue;
        }
        let alerts = look.webhooks.take(batch);
        let requests: Vec<_> = batch
            .iter()
            .zip(alerts)
            .map(|(record, alert)| rebuild(deps, record, alert))
            .collect();
        let requests = stream::iter(requests).buffered(REQUESTS);
        let rebuilt: Vec<Rebuilt> = requests.collect().await;
        store(deps, look, batch, rebuilt).await?;
    }
    Ok(true)
}

async fn rebuild(
    deps: &RecoveryDeps,
    record: &InboundRecord,
    alert: Option<WebhookAlert>,
) -> Rebuilt {
    let account = &deps.account;
    if let Some(parameters) = parameters(deps, alert.as_ref()).await
        && let Some(rebuilt) = from_alert(record, account, parameters)
    {
        return Ok(Ok(rebuilt));
    }
    let media = if record.num_media > 0 {
        deps.twilio.media_of(&record.sid).await?
    } else {
        Vec::new()
    };
    Ok(from_list(record, account, &media))
}

/// Stores a batch. If Twilio did not return what one of them needs, those before it are stored: a
/// sender's messages are accepted in their order.
async fn store(
    deps: &RecoveryDeps,
    look: &mut Look,
    batch: &[InboundRecord],
    rebuilt: Vec<Rebuilt>,
) -> Result<(), StepError> {
    let mut messages = Vec::new();
    let mut unrecoverable = Vec::new();
    let mut failed = None;
    for (record, rebuilt) in batch.iter().zip(rebuilt) {
        match rebuilt {
            Ok(Ok(rebuilt)) => messages.push((record, seal(deps, record, rebuilt)?)),
            Ok(Err(reason)) => unrecoverable.push((record, reason)),
            // Only this message cannot be read. It holds up no other, and the watermark stays.
            Err(ListError::Unreadable | ListError::TooLong) => {
                tracing::error!(message.sid = %record.sid, "the files of a missing message cannot be listed");
                look.report.unreadable += 1;
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let mut conn = deps.pool.acquire().await?;
    let (records, recovered): (Vec<&InboundRecord>, Vec<RecoveredMessage>) =
        messages.into_iter().unzip();
    let new: HashSet<String> = inbound_messages::recover_all(&mut conn, &recovered)
        .await?
        .into_iter()
        .collect();
    if !new.is_empty() {
        deps.waker.wake();
    }
    for (record, message) in records.into_iter().zip(recovered) {
        // The others came by a webhook meanwhile, or were erased.
        if new.contains(record.sid.as_str()) {
            note(look, record, FoundState::Recovered(message.source));
        }
    }
    for (record, reason) in unrecoverable {
        if recovery::record_unrecoverable(&mut conn, record.sid.as_str(), reason).await? {
            note(look, record, FoundState::Unrecoverable(reason));
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn seal(
    deps: &RecoveryDeps,
    record: &InboundRecord,
    rebuilt: RebuiltMessage,
) -> Result<RecoveredMessage, StepError> {
    let RebuiltMessage { webhook, source } = rebuilt;
    Ok(RecoveredMessage {
        message: new_message(&webhook).seal(&deps.keyring)?,
        source,
        sent_at: record.sent,
    })
}

fn new_message(webhook: &InboundWebhook) -> NewMessage {
    NewMessage {
        message_sid: webhook.message_sid().to_string(),
        account_sid: webhook.account_sid().to_string(),
        sender: webhook.from().as_str().to_owned(),
        fields: webhook.fields().to_vec(),
    }
}

/// Reports, counts and logs what became of a missing message.
fn note(look: &mut Look, record: &InboundRecord, state: FoundState) {
    let error_code = look.webhooks.error_code(&record.sid);
    match state {
        FoundState::Missing | FoundState::Recovered(MessageSource::Webhook) => {}
        FoundState::Recovered(source @ (MessageSource::List | MessageSource::Alert)) => {
            metrics::recovered(source, error_code);
            tracing::info!(message.sid = %record.sid, source = source.as_str(), error_code, "message recovered");
        }
        FoundState::Unrecoverable(reason) => {
            metrics::unrecoverable(reason);
            let reason = reason.as_str();
            tracing::warn!(message.sid = %record.sid, reason, "a missing message cannot be recovered");
        }
    }
    look.report.messages.push(FoundMessage {
        message_sid: record.sid.to_string(),
        sent_at: record.sent,
        files: record.num_media,
        error_code,
        state,
    });
}
