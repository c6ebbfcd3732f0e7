//! The steps that jobs are made of: plain functions, in the order of the data path.

mod account;
mod admit;
mod extract;
mod fail;
mod finish;
mod open;
mod reconcile;
mod send;
mod slots;

pub(crate) use extract::{Extracted, extract};
pub(crate) use fail::{fail, fail_abandoned};
pub(crate) use finish::{
    Endings, RULES, complete_only, finish, finish_keyword, origin, write_items,
};
pub(crate) use open::{Opened, Openings};
pub use reconcile::state_of;
pub(crate) use send::send;
pub(crate) use slots::{RATE_KEY, rate_key};
