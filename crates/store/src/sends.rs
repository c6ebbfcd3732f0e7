//! `pigeonhole.sends`: one row for each outgoing SMS, from its request to its delivery.
//!
//! Its state only moves up: pending, sending, unknown, sent, then undelivered or failed, then
//! delivered. The one step back, from `sending` to `pending`, is for a request that Twilio
//! certainly did not act on ([`give_back`]).

mod cleanup;
mod columns;
mod load;
mod metrics;
mod moves;
mod progress;
mod purpose;
mod replies;
mod reply_kind;
mod state;
mod verification;

pub use self::cleanup::delete_expired;
pub use self::load::{Send, known_names, load, purpose};
pub use self::metrics::{describe_metrics, send_moved, start_sends};
pub use self::moves::{
    Move, advance, advance_named, cancel_pending, complete_job, give_back, start,
};
pub use self::progress::{SendProgress, last_to, recent_to};
pub use self::purpose::Purpose;
pub use self::replies::{NewReply, enqueue_replies};
pub use self::reply_kind::ReplyKind;
pub use self::state::SendState;
pub use self::verification::{NewVerification, enqueue_verification};
