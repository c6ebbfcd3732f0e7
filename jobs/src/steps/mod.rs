//! The steps that jobs are made of: plain functions, in the order of the data path.

mod account;
pub(crate) mod download;
mod reconcile;
mod send;
mod write_items;

pub(crate) use crate::extract::{Extracted, of_text as extract};
pub use reconcile::state_of;
pub(crate) use send::send;
pub(crate) use write_items::{complete_only, finish, write_items};
