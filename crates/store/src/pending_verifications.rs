//! `pigeonhole.pending_verifications`: numbers that users want to link, and the codes that prove
//! that a number is theirs.

mod check;
mod code;
mod columns;
mod issue;
pub(crate) mod locked;
mod pending;

pub use self::check::{CodeCheck, MOST_CHECKS_AN_HOUR, check};
pub use self::code::Code;
pub use self::issue::{IssuedCode, issue_code};
pub use self::locked::{MOST_WRONG_TRIES, remove};
pub use self::pending::{PendingVerification, delete_expired, of_user};
