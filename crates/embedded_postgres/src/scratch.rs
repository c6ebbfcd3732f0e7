//! Directories that are thrown away, and the sweep of those whose owners could not.

use std::{
    env,
    fs::{self, DirEntry, File, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use crate::{StartError, account::Account, lock, postmaster, supervisor::Stop};

const PREFIX: &str = "pigeonhole-pg-";

/// A directory of the server's account, locked, and removed on drop or by the supervisor, whichever
/// comes first.
pub(crate) struct Scratch {
    dir: TempDir,
    lock: File,
}

impl Scratch {
    /// Makes one with a name nobody can guess, after removing what killed processes of ours left.
    pub(crate) fn create(account: &Account) -> Result<Self, StartError> {
        let parent = parent();
        sweep(&parent, account);
        let doing = format!("create a directory in {}", parent.display());
        let create = || -> io::Result<Self> {
            let dir = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(&parent)?;
            let lock =
                lock::take(&dir.path().join(lock::NAME)).map_err(|refused| match refused {
                    lock::Refused::Held(_) => io::ErrorKind::ResourceBusy.into(),
                    lock::Refused::Io(error) => error,
                })?;
            account.own(dir.path())?;
            Ok(Self { dir, lock })
        };
        let scratch = create().map_err(StartError::io(doing))?;
        account.check_reaches(scratch.path())?;
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The lock, once more: it is released when the last of its descriptors closes.
    pub(crate) fn lock(&self) -> Result<File, StartError> {
        self.lock.try_clone().map_err(StartError::io("keep a lock"))
    }
}

/// `/var/tmp` as it is short, which socket paths must be, on a disk, and open to the account that
/// root drops to.
fn parent() -> PathBuf {
    let var_tmp = Path::new("/var/tmp");
    if var_tmp.is_dir() {
        var_tmp.into()
    } else {
        env::temp_dir()
    }
}

/// Removes directories of ours whose process and supervisor were both killed. What cannot be
/// removed is left for later.
fn sweep(parent: &Path, account: &Account) {
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
            postmaster::end_orphan(&entry.path().join("data"), Stop::Immediate);
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

fn is_abandoned(entry: &DirEntry) -> bool {
    // Between making a directory and locking it its owner is at work on it: give it a minute.
    let is_old = entry
        .metadata()
        .and_then(|dir| dir.modified())
        .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > Duration::from_mins(1)));
    let Ok(mut lock) = File::open(entry.path().join(lock::NAME)) else {
        return is_old;
    };
    lock.try_lock().is_ok() && (is_old || lock::owner(&mut lock).is_some())
}
