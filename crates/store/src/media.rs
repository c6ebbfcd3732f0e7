//! `pigeonhole.media`: the files of messages, one row for each. The file itself is an object
//! elsewhere, sealed under a key that only its row has.
//!
//! A row says `storing`, with the name of its object, before a byte of the object is written. When
//! a row stops naming an object, a trigger adds the name to `pigeonhole.media_garbage`, so that no
//! object is left behind: see [`cleanup`].

mod begin;
pub mod cleanup;
mod columns;
mod end;
mod erase;
mod load;
mod object;
mod row;
mod state;

pub use self::begin::{MediaStart, NewMedia, begin, media_id};
pub use self::end::{FileFacts, gone, refused, stored};
pub use self::erase::{deleted_at_twilio, erase_of_message, still_at_twilio};
pub use self::load::{load, of_message};
pub use self::object::MediaObject;
pub use self::row::Media;
pub use self::state::{MediaState, Refusal};
