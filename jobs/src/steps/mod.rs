//! The steps that jobs are made of: plain functions, in the order of the data path.

mod account;
mod admit;
mod attachments;
pub(crate) mod download;
mod fail;
mod finish;
mod let_go;
mod open;
mod reconcile;
mod send;
mod slots;
mod understand;

pub(crate) use attachments::attachments;
pub(crate) use fail::{fail, fail_abandoned};
pub(crate) use finish::{Endings, complete_only, finish, finish_keyword, origin, write_items};
pub(crate) use let_go::let_go_of_files;
pub(crate) use open::{Opened, Openings};
pub use reconcile::state_of;
pub(crate) use send::send;
pub(crate) use slots::{RATE_KEY, rate_key};
pub(crate) use understand::understand;
