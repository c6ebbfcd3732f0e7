//! The lock file of a server's directory. Our process and its supervisor hold the lock. The kernel
//! releases it when both have ended, even by `kill -9`.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process,
    time::Duration,
};

use rustix::{
    fs::OFlags,
    io::Errno,
    process::{Pid, test_kill_process},
};

use crate::wait;

/// The name of the lock file in a server's directory.
pub(crate) const NAME: &str = "lock";

/// Why the lock was not taken.
pub(crate) enum LockError {
    /// Another process holds it. The process id is known if the process has written it.
    Held(Option<i32>),
    /// An operation on the file failed.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens the lock file. It follows no symbolic link, as root may open the file in another user's
/// directory.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// Takes the lock. If the process that held it was just killed, this waits for its supervisor,
/// which is still stopping Postgres.
pub(crate) fn take(path: &Path) -> Result<File, LockError> {
    let mut lock = open(path)?;
    let mut outcome = lock.try_lock();
    if matches!(outcome, Err(TryLockError::WouldBlock)) {
        let owner = owner(&mut lock);
        let patience = if owner.is_some_and(is_alive) { 1 } else { 10 };
        wait::until(Duration::from_secs(patience), || {
            outcome = lock.try_lock();
            !matches!(outcome, Err(TryLockError::WouldBlock))
        });
    }
    match outcome {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LockError::Held(owner(&mut lock))),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", process::id())?;
    Ok(lock)
}

/// Returns the process that last took this lock.
pub(crate) fn owner(lock: &mut File) -> Option<i32> {
    let mut content = String::new();
    lock.rewind().ok()?;
    lock.read_to_string(&mut content).ok()?;
    content.lines().next()?.parse().ok()
}

fn is_alive(pid: i32) -> bool {
    // "Not permitted" means that the process exists and belongs to another user.
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}
