//! The steps that jobs are made of: plain functions, in the order of the data path.

mod extract;
mod write_items;

pub(crate) use extract::{Extracted, extract};
pub(crate) use write_items::{complete_only, finish, write_items};
