//! The store of media files: sealed objects in a folder or in a cloud bucket.
//!
//! It seals and opens files chunk by chunk, and never stores one in clear. No object name says
//! whose file it is. The key of an object is in its row: see `store::media`.

mod cleanup;
mod error;
mod location;
mod reader;
mod store;
mod writer;

pub use self::{
    cleanup::OlderObjects, error::MediaStoreError, reader::MediaReader, store::MediaStore,
    writer::MediaWriter,
};
