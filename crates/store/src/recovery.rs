//! What recovery of messages from Twilio remembers: how far it has looked, and which messages it
//! need not ask for.

mod request;
mod unknown;
mod unrecoverable;
mod watermarks;

pub use self::request::{LOOK_KEY, request_look, requested_at};
pub use self::unknown::unknown;
pub use self::unrecoverable::{UnrecoverableReason, record_unrecoverable};
pub use self::watermarks::{Watermark, advance, oldest_look, watermarks_of};
