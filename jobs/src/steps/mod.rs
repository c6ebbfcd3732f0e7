//! The steps that jobs are made of: plain functions, in the order of the data path.

mod account;
mod attachments;
pub(crate) mod download;
mod finish;
mod let_go;
mod open;
mod reconcile;
mod send;
mod slots;
mod understand;

pub(crate) use finish::{Endings, complete_only, finish, write_items};
pub(crate) use let_go::let_go_of_files;
pub(crate) use open::{Opened, Openings};
pub use reconcile::state_of;
pub(crate) use send::send;
pub(crate) use understand::understand;
