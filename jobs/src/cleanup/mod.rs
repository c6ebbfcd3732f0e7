//! Jobs that delete what is no longer needed. A schedule enqueues each, except [`CleanupTwilioCopies`].
//!
//! [`CleanupTwilioCopies`]: twilio_copies::CleanupTwilioCopies

pub(crate) mod media_files;
pub(crate) mod message_bodies;
pub(crate) mod orphaned_objects;
pub(crate) mod sends;
pub(crate) mod twilio_copies;
