//! `pigeonhole.inbound_messages`: the durable inbox. The receiver writes a message together with
//! its job, as recovery does with one that no webhook brought; the worker ends it; the cleanup
//! erases what it says.

mod accept;
pub mod cleanup;
mod columns;
mod ended;
mod fail;
mod finish;
mod load;
pub mod message_history;
mod rate_key;
mod recover;
mod replay;
mod reserve_starts;
mod source;
mod state;
mod users_by_number;

pub use self::accept::{Acceptance, NewMessage, SealedMessage, accept_all};
pub use self::ended::{EndedMessage, complete_job_of_ended, ended_since, exists};
pub use self::fail::{fail, not_ended};
pub use self::finish::{EndOutcome, MessageEnd, MessageItems, MessageSender, finish_all};
pub use self::load::{OpenedMessages, StoredMessage, load, load_all, sent_by};
pub use self::rate_key::{RATE_KEY_PREFIX, rate_key};
pub use self::recover::{RecoveredMessage, recover_all};
pub use self::replay::{hold, replayed, user_of};
pub use self::reserve_starts::{ReservationRequest, reserve_starts};
pub use self::source::MessageSource;
pub use self::state::MessageState;
pub use self::users_by_number::users_by_number;
