//! Jobs that delete what is no longer needed. A schedule enqueues each of them, except
//! `cleanup_twilio_copies`.

mod media_files;
mod message_bodies;
mod objects;
mod orphaned_objects;
mod sends;
mod twilio_copies;

pub use self::{
    media_files::CleanupMediaFiles, message_bodies::CleanupMessageBodies,
    orphaned_objects::CleanupOrphanedObjects, sends::CleanupSends,
    twilio_copies::CleanupTwilioCopies,
};
