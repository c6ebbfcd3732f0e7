//! Files, sealed chunk by chunk, so that no file is ever held as a whole.
//!
//! `version (1) ‖ nonce prefix (7)`, then chunks of 64 KiB of plaintext, each `ciphertext ‖ tag
//! (16)`: AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár;
//! <https://eprint.iacr.org/2015/189>), whose nonce is `prefix ‖ chunk number (4) ‖ is it the last?
//! (1)`. So a chunk opens in its own position only, and a file that was cut, even between chunks,
//! does not end.
//!
//! Each file has a key of its own, from the system's randomness, that is kept sealed in its row. So
//! a rotation of the keyring seals rows anew and no files, and whoever erases the row has erased
//! the file.

use std::fmt;

use aead_stream::{DecryptorBE32, EncryptorBE32, Nonce, StreamBE32};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Generate, Key};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::keyring::Keyring;
use crate::sealed::Context;

const VERSION: u8 = 1;
const PREFIX: usize = 7;
const HEADER: usize = 1 + PREFIX;
const TAG: usize = 16;

/// Plaintext in a chunk. Part of the format.
const CHUNK: usize = 64 * 1024;

type Prefix = Nonce<Aes256Gcm, StreamBE32<Aes256Gcm>>;

/// The key of one file. `Debug` hides it.
#[derive(Clone)]
pub struct FileKey(Zeroizing<[u8; 32]>);

impl FileKey {
    /// A new one; fails only if the system gives no randomness.
    pub fn generate() -> Result<Self, StoreError> {
        let key = Key::<Aes256Gcm>::try_generate().map_err(|_| seal_error())?;
        Ok(Self(Zeroizing::new(key.into())))
    }

    /// Seals it for the place it is kept in.
    pub fn seal(&self, keyring: &Keyring, context: &Context) -> Result<Vec<u8>, StoreError> {
        keyring.seal(context, &*self.0)
    }

    /// Opens what [`FileKey::seal`] made for this place.
    pub fn open(keyring: &Keyring, context: &Context, sealed: &[u8]) -> Result<Self, StoreError> {
        let opened = Zeroizing::new(keyring.open(context, sealed)?);
        match <[u8; 32]>::try_from(opened.as_slice()) {
            Ok(key) => Ok(Self(Zeroizing::new(key))),
            // Only we can have sealed it, so another length means another version.
            Err(_) => Err(StoreError::UnknownValue {
                table: TABLE,
                column: "sealed_key",
            }),
        }
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey([sealed])")
    }
}

/// Seals a file that comes in pieces of any size.
pub struct StreamSealer {
    stream: EncryptorBE32<Aes256Gcm>,
    associated_data: Vec<u8>,
    /// Plaintext of the chunk to come, with room for its tag.
    chunk: Zeroizing<Vec<u8>>,
}

impl StreamSealer {
    /// Begins the file of this row: writes its header to `out`. A key seals one file only.
    pub fn begin(key: &FileKey, file: Uuid, out: &mut Vec<u8>) -> Result<Self, StoreError> {
        let prefix = Prefix::try_generate().map_err(|_| seal_error())?;
        let mut header = [VERSION; HEADER];
        header[1..].copy_from_slice(&prefix);
        out.extend(header);
        Ok(Self {
            stream: EncryptorBE32::new((&*key.0).into(), &prefix),
            associated_data: associated_data(header, file),
            chunk: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)),
        })
    }

    /// Takes more of the file, and writes to `out` the chunks that are full.
    pub fn push(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), StoreError> {
        while !plaintext.is_empty() {
            // A full chunk waits until more comes: it may be the last, which is sealed otherwise.
            if self.chunk.len() == CHUNK {
                self.stream
                    .encrypt_next_in_place(&self.associated_data, &mut *self.chunk)
                    .map_err(|_| seal_error())?;
                out.extend_from_slice(&self.chunk);
                self.chunk.clear();
            }
            let taken = plaintext.len().min(CHUNK - self.chunk.len());
            let (now, later) = plaintext.split_at(taken);
            self.chunk.extend_from_slice(now);
            plaintext = later;
        }
        Ok(())
    }

    /// Writes the last chunk to `out`. Without it the file does not open.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), StoreError> {
        self.stream
            .encrypt_last_in_place(&self.associated_data, &mut *self.chunk)
            .map_err(|_| seal_error())?;
        out.extend_from_slice(&self.chunk);
        Ok(())
    }
}

/// Opens a file that comes in pieces of any size. What it has written is genuine, and may be less
/// than the whole file until [`StreamOpener::finish`] says otherwise.
pub struct StreamOpener {
    key: FileKey,
    file: Uuid,
    stream: Option<(DecryptorBE32<Aes256Gcm>, Vec<u8>)>,
    /// What has come and is not opened: never more than a chunk.
    sealed: Vec<u8>,
}

impl StreamOpener {
    /// Begins the file of this row.
    pub fn new(key: FileKey, file: Uuid) -> Self {
        Self {
            key,
            file,
            stream: None,
            sealed: Vec::new(),
        }
    }

    /// Takes more of the sealed file, and writes to `out` what it has opened. Fails when the key is
    /// another file's, and when a byte was changed or a chunk moved.
    pub fn push(&mut self, mut sealed: &[u8], out: &mut Vec<u8>) -> Result<(), StoreError> {
        loop {
            let size = match self.stream {
                None => HEADER,
                Some(_) => CHUNK + TAG,
            };
            // A full chunk waits until more comes: it may be the last, which opens otherwise.
            if self.sealed.len() == size && !sealed.is_empty() {
                self.open_next(out)?;
                continue;
            }
            let (now, later) = sealed.split_at(sealed.len().min(size - self.sealed.len()));
            if now.is_empty() {
                return Ok(());
            }
            self.sealed.extend_from_slice(now);
            sealed = later;
        }
    }

    /// Opens the last chunk. Fails when the file goes on.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let failed = open_error(self.file);
        let (stream, associated_data) = self.stream.take().ok_or_else(|| open_error(self.file))?;
        stream
            .decrypt_last_in_place(&associated_data, &mut self.sealed)
            .map_err(|_| failed)?;
        out.extend_from_slice(&self.sealed);
        Ok(())
    }

    fn open_next(&mut self, out: &mut Vec<u8>) -> Result<(), StoreError> {
        match &mut self.stream {
            None => {
                let header = <[u8; HEADER]>::try_from(self.sealed.as_slice())
                    .map_err(|_| open_error(self.file))?;
                let prefix = Prefix::try_from(&header[1..]).map_err(|_| open_error(self.file))?;
                if header[0] != VERSION {
                    return Err(open_error(self.file));
                }
                let stream = DecryptorBE32::new((&*self.key.0).into(), &prefix);
                self.stream = Some((stream, associated_data(header, self.file)));
                self.sealed.reserve_exact(CHUNK + TAG);
            }
            Some((stream, associated_data)) => {
                stream
                    .decrypt_next_in_place(associated_data, &mut self.sealed)
                    .map_err(|_| open_error(self.file))?;
                out.extend_from_slice(&self.sealed);
            }
        }
        self.sealed.clear();
        Ok(())
    }
}

impl fmt::Debug for StreamSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamSealer([sealed])")
    }
}

impl fmt::Debug for StreamOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamOpener({}, [sealed])", self.file)
    }
}

const TABLE: &str = "pigeonhole.media";

/// Of every chunk: what the file is, and whose.
fn associated_data(header: [u8; HEADER], file: Uuid) -> Vec<u8> {
    [&header, TABLE.as_bytes(), file.as_bytes()].concat()
}

fn seal_error() -> StoreError {
    StoreError::Seal {
        table: TABLE,
        column: "object_key",
    }
}

fn open_error(file: Uuid) -> StoreError {
    StoreError::Open {
        table: TABLE,
        column: "object_key",
        row: file.to_string(),
    }
}

#[cfg(test)]
mod tests;
