//! What the simulated Twilio knows: messages, requests, callbacks, and how each number is to be treated.
//!
//! Whoever waits for something to appear here is woken when it does.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::watch;

use super::{
    behaviour::{Answer, Behaviour, Step, rank},
    console::Console,
};

/// A message that was taken, and that costs money therefore.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct AcceptedMessage {
    /// Its SID.
    pub sid: String,
    /// Its recipient.
    pub to: String,
    /// The sender; none yet if a service picks it.
    pub from: Option<String>,
    /// The SID of the service.
    pub messaging_service: Option<String>,
    /// What it says.
    pub body: String,
    /// Where status callbacks go, as it was asked for.
    pub status_callback: Option<String>,
    /// `ValidityPeriod`, in seconds.
    pub validity: Option<u32>,
    /// Twilio's word for how far it has got.
    pub status: String,
    /// Why it got no further.
    pub error_code: Option<u32>,
    /// When it was taken.
    pub at: DateTime<Utc>,
    /// When it was sent.
    pub sent: Option<DateTime<Utc>>,
    /// It was deleted by a request: the API shows it no more.
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

/// How often each operation was asked for, by somebody with the right credentials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// To send a message, whatever the answer was.
    pub create: u64,
    /// For the list of messages, or the next page of it.
    pub list: u64,
    /// For one message.
    pub fetch: u64,
    /// To delete a message.
    pub delete: u64,
    /// For a file that came with a message.
    pub media: u64,
    /// Anything with the wrong credentials.
    pub unauthorized: u64,
}

/// A status callback that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackDelivery {
    /// The message.
    pub message_sid: String,
    /// The status it told.
    pub status: String,
    /// What was answered; `None` if nobody did.
    pub http_status: Option<u16>,
}

pub(super) struct State {
    pub(super) console: Console,
    pub(super) messages: Vec<AcceptedMessage>,
    by_sid: HashMap<String, usize>,
    by_number: HashMap<String, Vec<usize>>,
    behaviours: HashMap<String, Behaviour>,
    pub(super) posts: HashMap<String, u64>,
    pub(super) requests: Requests,
    pub(super) callbacks: Vec<CallbackDelivery>,
    pub(super) media: Media,
    /// Where the receiver really is.
    pub(super) receiver: Option<String>,
}

/// The files that came with messages.
#[derive(Default)]
pub(super) struct Media {
    pub(super) deleted: HashSet<String>,
    /// How often each is not there yet when it is asked for.
    pub(super) late: u32,
    asked: HashMap<String, u32>,
}

impl Media {
    /// Counts a request for a file. Is it not there yet?
    pub(super) fn is_early(&mut self, name: &str) -> bool {
        let asked = self.asked.entry(name.to_owned()).or_default();
        *asked += 1;
        *asked <= self.late
    }
}

impl State {
    pub(super) fn message(&self, sid: &str) -> Option<&AcceptedMessage> {
        self.messages.get(*self.by_sid.get(sid)?)
    }

    pub(super) fn to(&self, number: &str) -> impl ExactSizeIterator<Item = &AcceptedMessage> {
        let indices = self.by_number.get(number).map_or(&[][..], Vec::as_slice);
        indices.iter().map(|&index| &self.messages[index])
    }

    pub(super) fn behaviour(&self, number: &str) -> Behaviour {
        let set = self.behaviours.get(number);
        set.cloned().unwrap_or_else(|| Behaviour::of(number))
    }
}

/// The state, and who waits for it to change.
pub(super) struct Ledger(watch::Sender<State>);

impl Ledger {
    pub(super) fn new(console: Console) -> Self {
        Self(watch::Sender::new(State {
            console,
            messages: Vec::new(),
            by_sid: HashMap::new(),
            by_number: HashMap::new(),
            behaviours: HashMap::new(),
            posts: HashMap::new(),
            requests: Requests::default(),
            callbacks: Vec::new(),
            media: Media::default(),
            receiver: None,
        }))
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.borrow())
    }

    /// Waits until there is an answer.
    pub(super) async fn wait<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(found) = look(&changes.borrow_and_update()) {
                return found;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await; // not while `self` is there, which has the sender
            }
        }
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut result = None;
        self.0.send_modify(|state| result = Some(change(state)));
        #[expect(clippy::expect_used, reason = "`send_modify` calls what it is given")]
        result.expect("a result")
    }

    pub(super) fn behave(&self, number: &str, behaviour: Option<Behaviour>) {
        self.change(|state| match behaviour {
            Some(behaviour) => state.behaviours.insert(number.to_owned(), behaviour),
            None => state.behaviours.remove(number),
        });
    }

    /// Counts a request to send to this number, and says how to treat it.
    pub(super) fn asked_to_send(&self, number: &str) -> Behaviour {
        self.change(|state| {
            *state.posts.entry(number.to_owned()).or_default() += 1;
            let behaviour = state.behaviour(number);
            if let Some(Answer::Throttle { times, .. }) =
                state.behaviours.get_mut(number).map(|b| &mut b.answer)
            {
                *times = times.saturating_sub(1);
            }
            behaviour
        })
    }

    pub(super) fn accept(&self, message: AcceptedMessage) {
        self.change(|state| {
            let index = state.messages.len();
            state.by_sid.insert(message.sid.clone(), index);
            let same = state.by_number.entry(message.to.clone()).or_default();
            same.push(index);
            state.messages.push(message);
        });
    }

    /// The message gets further; never back.
    pub(super) fn advance(&self, sid: &str, step: &Step) {
        self.change(|state| {
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

    /// What was there to delete?
    pub(super) fn delete(&self, sid: &str) -> Deleted {
        self.change(|state| {
            let index = state.by_sid.get(sid).copied();
            match index.and_then(|index| state.messages.get_mut(index)) {
                Some(message) if !message.deleted => {
                    if rank(&message.status) < rank("delivered") {
                        return Deleted::StillOnItsWay;
                    }
                    message.deleted = true;
                    Deleted::Done
                }
                _ => Deleted::NotThere,
            }
        })
    }
}

pub(super) enum Deleted {
    Done,
    NotThere,
    StillOnItsWay,
}

#[expect(
    clippy::disallowed_methods,
    reason = "Twilio has a clock of its own, which is not our database's"
)]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}
