//! The state of the simulated Twilio: messages, requests, callbacks, and how each number behaves.
//!
//! A change wakes the tasks that wait for it.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    behaviour::{Behaviour, SendAnswer, StatusStep, rank},
    conditions::ApiConditions,
    console_settings::ConsoleSettings,
    ids::now,
    received::ReceivedTexts,
};

/// An accepted message. At the real Twilio it would cost money.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct AcceptedMessage {
    /// The message's SID.
    pub sid: String,
    /// The recipient's number.
    pub to: String,
    /// The sender's number; none if a messaging service picks it.
    pub from: Option<String>,
    /// The SID of the messaging service.
    pub messaging_service: Option<String>,
    /// The text.
    pub body: String,
    /// The URL for status callbacks, as the client gave it.
    pub status_callback: Option<String>,
    /// `ValidityPeriod`, in seconds.
    pub validity: Option<u32>,
    /// Twilio's name of the current status.
    pub status: String,
    /// Twilio's error code, if the message failed.
    pub error_code: Option<u32>,
    /// When the API accepted it.
    pub at: DateTime<Utc>,
    /// When it was sent.
    pub sent: Option<DateTime<Utc>>,
    /// Whether a request deleted it. The API no longer shows it then.
    pub deleted: bool,
}

impl fmt::Debug for AcceptedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptedMessage")
            .field("sid", &self.sid)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// How often each operation was requested with valid credentials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Requests to send a message, accepted or not.
    pub create: u64,
    /// Requests for a page of the list of messages.
    pub list: u64,
    /// Requests for one message.
    pub fetch: u64,
    /// Requests to delete a message.
    pub delete: u64,
    /// Requests to redact a message.
    pub redact: u64,
    /// Requests for a file of an inbound message.
    pub media: u64,
    /// Requests for the list of a message's files.
    pub media_list: u64,
    /// Requests for a page of the list of alerts.
    pub alerts: u64,
    /// Requests for one alert.
    pub alert: u64,
    /// Requests for the account's numbers.
    pub numbers: u64,
    /// Requests of any kind with wrong credentials.
    pub unauthorized: u64,
}

/// A status callback that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackDelivery {
    /// The message's SID.
    pub message_sid: String,
    /// The status that it reported.
    pub status: String,
    /// The HTTP status of the answer; none if there was no answer.
    pub http_status: Option<u16>,
}

/// The state itself.
pub(crate) struct SimulatorState {
    pub(crate) console: ConsoleSettings,
    pub(crate) conditions: ApiConditions,
    /// Messages from people.
    pub(crate) received: ReceivedTexts,
    /// Messages to people.
    pub(crate) messages: Vec<AcceptedMessage>,
    by_sid: HashMap<String, usize>,
    by_number: HashMap<String, Vec<usize>>,
    behaviours: HashMap<String, Behaviour>,
    pub(crate) posts: HashMap<String, u64>,
    pub(crate) requests: RequestCounts,
    pub(crate) callbacks: Vec<CallbackDelivery>,
    pub(crate) media: SimulatedMedia,
    /// The base URL that callbacks are posted to.
    pub(crate) receiver: Option<String>,
}

/// The state of the files of inbound messages.
#[derive(Default)]
pub(crate) struct SimulatedMedia {
    pub(crate) deleted: HashSet<String>,
    /// How many requests for each file get 404 before the file appears.
    pub(crate) late: u32,
    requested: HashMap<String, u32>,
}

impl SimulatedMedia {
    /// Counts a request for a file, and returns whether the file has not appeared yet.
    pub(crate) fn is_early(&mut self, name: &str) -> bool {
        let requested = self.requested.entry(name.to_owned()).or_default();
        *requested += 1;
        *requested <= self.late
    }
}

impl SimulatorState {
    pub(crate) fn message(&self, sid: &str) -> Option<&AcceptedMessage> {
        self.messages.get(*self.by_sid.get(sid)?)
    }

    pub(crate) fn to(
        &self,
        number: &str,
    ) -> impl ExactSizeIterator<Item = &AcceptedMessage> + DoubleEndedIterator {
        let indices = self.by_number.get(number).map_or(&[][..], Vec::as_slice);
        indices.iter().map(|&index| &self.messages[index])
    }

    pub(crate) fn behaviour(&self, number: &str) -> Behaviour {
        let set = self.behaviours.get(number);
        set.cloned().unwrap_or_else(|| Behaviour::of(number))
    }
}

/// The state, shared by handlers and by the tasks that wait for a change.
pub(crate) struct SharedState(watch::Sender<SimulatorState>);

impl SharedState {
    pub(crate) fn new(console: ConsoleSettings) -> Self {
        Self(watch::Sender::new(SimulatorState {
            console,
            conditions: ApiConditions::default(),
            received: ReceivedTexts::default(),
            messages: Vec::new(),
            by_sid: HashMap::new(),
            by_number: HashMap::new(),
            behaviours: HashMap::new(),
            posts: HashMap::new(),
            requests: RequestCounts::default(),
            callbacks: Vec::new(),
            media: SimulatedMedia::default(),
            receiver: None,
        }))
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&SimulatorState) -> T) -> T {
        look(&self.0.borrow())
    }

    /// Waits until `look` returns something.
    pub(crate) async fn wait_for<T>(
        &self,
        mut look: impl FnMut(&SimulatorState) -> Option<T>,
    ) -> T {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(found) = look(&changes.borrow_and_update()) {
                return found;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await; // unreachable: `self` holds the sender
            }
        }
    }

    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut SimulatorState) -> T) -> T {
        let mut result = None;
        self.0.send_modify(|state| result = Some(change(state)));
        #[expect(clippy::expect_used, reason = "`send_modify` always calls its closure")]
        result.expect("a result")
    }

    pub(crate) fn behave(&self, number: &str, behaviour: Option<Behaviour>) {
        self.update(|state| match behaviour {
            Some(behaviour) => state.behaviours.insert(number.to_owned(), behaviour),
            None => state.behaviours.remove(number),
        });
    }

    /// Counts a request to send to this number, and returns how to answer it.
    pub(crate) fn count_post(&self, number: &str) -> Behaviour {
        self.update(|state| {
            *state.posts.entry(number.to_owned()).or_default() += 1;
            let behaviour = state.behaviour(number);
            if let Some(SendAnswer::Throttle { times, .. }) =
                state.behaviours.get_mut(number).map(|b| &mut b.answer)
            {
                *times = times.saturating_sub(1);
            }
            behaviour
        })
    }

    pub(crate) fn accept(&self, message: AcceptedMessage) {
        self.update(|state| {
            let index = state.messages.len();
            state.by_sid.insert(message.sid.clone(), index);
            let to_number = state.by_number.entry(message.to.clone()).or_default();
            to_number.push(index);
            state.messages.push(message);
        });
    }

    /// Moves the message to a later status, never to an earlier one.
    pub(crate) fn advance(&self, sid: &str, step: &StatusStep) {
        self.update(|state| {
            let index = state.by_sid.get(sid).copied();
            let Some(message) = index.and_then(|index| state.messages.get_mut(index)) else {
                return;
            };
            if rank(&step.status) > rank(&message.status) {
                message.status.clone_from(&step.status);
                message.error_code = step.error_code;
                if rank(&step.status) >= rank("sent") && step.status != "failed" {
                    message.sent.get_or_insert_with(now);
                }
            }
        });
    }

    /// Removes the text of a message. Returns whether there is such a message.
    pub(crate) fn redact(&self, sid: &str) -> bool {
        self.update(|state| {
            if let Some(text) = state.received.get_mut(sid) {
                text.redacted = true;
                return !text.deleted;
            }
            let index = state.by_sid.get(sid).copied();
            let message = index.and_then(|index| state.messages.get_mut(index));
            message.is_some_and(|message| {
                message.body.clear();
                !message.deleted
            })
        })
    }

    /// Deletes a message whose delivery has ended.
    pub(crate) fn delete(&self, sid: &str) -> DeleteResult {
        self.update(|state| {
            if let Some(text) = state.received.get_mut(sid) {
                let is_new = !std::mem::replace(&mut text.deleted, true);
                return if is_new {
                    DeleteResult::Deleted
                } else {
                    DeleteResult::NotFound
                };
            }
            let index = state.by_sid.get(sid).copied();
            match index.and_then(|index| state.messages.get_mut(index)) {
                Some(message) if !message.deleted => {
                    if rank(&message.status) < rank("delivered") {
                        return DeleteResult::InProgress;
                    }
                    message.deleted = true;
                    DeleteResult::Deleted
                }
                _ => DeleteResult::NotFound,
            }
        })
    }
}

/// What became of a request to delete a message.
pub(crate) enum DeleteResult {
    Deleted,
    NotFound,
    InProgress,
}
