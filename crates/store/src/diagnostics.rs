//! What an operator should know of the database, and of what is sealed in it. It changes nothing.
//!
//! For `pigeonhole doctor`: each question is bounded in time by [`begin`] and returns facts. The
//! caller judges what they mean.

mod activity;
mod pooling;
mod seals;
mod server;
mod tables;
mod transaction;

pub use crate::durability::{Durability, LossCause, durability};

pub use self::activity::{SnapshotHolder, SnapshotHolders, holders};
pub use self::pooling::Pooling;
pub use self::seals::{ColumnSeals, clear_numbers, has_opt_outs, seals};
pub use self::server::{ConnectionCount, DatabaseServer, connections, server};
pub use self::tables::{Autovacuum, TableHealth, autovacuum};
pub use self::transaction::begin;
