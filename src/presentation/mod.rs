//! Jobs and messages as people read them: the commands print these texts, and the operator's page
//! shows them.

pub(crate) mod jobs;
pub(crate) mod messages;
pub(crate) mod text;
