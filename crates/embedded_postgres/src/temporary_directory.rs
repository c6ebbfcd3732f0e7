//! Temporary directories, and the removal of those that killed processes left.

use std::{
    env,
    fs::{self, DirEntry, File, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use crate::{account::ServerAccount, error::StartError, lock, postmaster, supervisor::Stop};

const PREFIX: &str = "pigeonhole-pg-";

/// A locked directory of the server's account. The supervisor or `drop` removes it, whichever comes
/// first.
pub(crate) struct TemporaryDirectory {
    dir: TempDir,
    lock: File,
}

impl TemporaryDirectory {
    /// Creates a directory with a random name. First removes directories that killed processes
    /// left.
    pub(crate) fn create(account: &ServerAccount) -> Result<Self, StartError> {
        let parent = parent();
        remove_abandoned(&parent, account);
        let doing = format!("create a directory in {}", parent.display());
        let create = || -> io::Result<Self> {
            let dir = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(&parent)?;
            let lock = lock::take(&dir.path().join(lock::NAME)).map_err(|error| match error {
                lock::LockError::Held(_) => io::ErrorKind::ResourceBusy.into(),
                lock::LockError::Io(error) => error,
            })?;
            account.take_ownership(dir.path())?;
            Ok(Self { dir, lock })
        };
        let directory = create().map_err(StartError::io(doing))?;
        account.check_access(directory.path())?;
        Ok(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns another descriptor of the lock. The kernel releases the lock when the last one
    /// closes.
    pub(crate) fn lock(&self) -> Result<File, StartError> {
        self.lock.try_clone().map_err(StartError::io("keep a lock"))
    }
}

/// `/var/tmp` suits: socket paths must be short, it lies on a disk, and the account that root
/// switches to can enter it.
fn parent() -> PathBuf {
    let var_tmp = Path::new("/var/tmp");
    if var_tmp.is_dir() {
        var_tmp.into()
    } else {
        env::temp_dir()
    }
}

/// Removes directories whose process and supervisor were both killed. A later call retries those
/// that cannot be removed.
fn remove_abandoned(parent: &Path, account: &ServerAccount) {
    let owners = [account.uid, rustix::process::geteuid().as_raw()];
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX))
            && entry
                .metadata()
                .is_ok_and(|dir| dir.is_dir() && owners.contains(&dir.uid()));
        if ours && is_abandoned(&entry) {
            postmaster::stop_orphan(&entry.path().join("data"), Stop::Immediate);
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

fn is_abandoned(entry: &DirEntry) -> bool {
    // A process first creates a directory and then locks it: allow a minute between the two.
    let is_old = entry
        .metadata()
        .and_then(|dir| dir.modified())
        .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > Duration::from_mins(1)));
    let Ok(mut lock) = File::open(entry.path().join(lock::NAME)) else {
        return is_old;
    };
    lock.try_lock().is_ok() && (is_old || lock::owner(&mut lock).is_some())
}
