//! `user_phone_numbers`: which number belongs to which user. The app's table.
//!
//! A row of ours holds the number's blind index in `phone_number` and the number itself sealed. A
//! row that the app wrote holds the number in clear until [`seal_legacy`] has been run. Every
//! lookup finds both kinds, and rows written under any key of the ring.
//!
//! A transaction that changes the user of a number holds `AdvisoryLock::Numbers`. Such changes are
//! rare, and so they never deadlock.

mod find;
mod legacy;
mod link;
mod rows;

pub use self::find::{PhoneNumber, find_verified_user, has_another, list, of_user};
pub use self::legacy::seal_legacy;
pub use self::link::{hold_verified, link, prove, unlink, unlink_user};
