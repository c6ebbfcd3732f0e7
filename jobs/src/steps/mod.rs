//! The steps that jobs are made of: plain functions, in the order of the data path.

mod account;
mod admit;
mod extract;
mod finish;
mod open;
mod reconcile;
mod send;


pub(crate) use extract::{Extracted, extract};
pub use reconcile::state_of;
pub(crate) use finish::{Endings, complete_only, finish, write_items};
pub(crate) use open::{Opened, Openings};
pub(crate) use send::send;

