//! Opens a directory whose data is kept.

use std::{
    fs::{self, File, Permissions},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{StartError, account::Account, binaries, lock, postmaster, supervisor::Stop};

/// Sockets have names of at most 104 bytes on macOS, 108 on Linux, their end included.
const LONGEST_SOCKET: usize = 100;

/// A directory whose data is kept, locked, and ready to start a server on.
pub(crate) struct Kept {
    pub(crate) account: Account,
    pub(crate) bin_dir: PathBuf,
    pub(crate) base: PathBuf,
    pub(crate) lock: File,
}

impl Kept {
    /// Makes the directory if need be, locks it, and stops a server that killed processes left
    /// running on it.
    pub(crate) fn open(dir: &Path, bin_dir: Option<&Path>) -> Result<Self, StartError> {
        let doing = |what: &str| StartError::io(format!("{what} {}", dir.display()));
        fs::create_dir_all(dir).map_err(doing("create"))?;
        let base = dir.canonicalize().map_err(doing("find"))?;
        let is_empty = base.read_dir().map_err(doing("read"))?.next().is_none();
        let lock_path = base.join(lock::NAME);
        if !is_empty && !lock_path.exists() {
            return Err(StartError::NotOurs { dir: base });
        }

        let data = base.join("data");
        let account = Account::for_data(Some(&data))?;
        let major = fs::read_to_string(data.join("PG_VERSION")).ok();
        let wanted = major.as_deref().map(|major| (&*base, major.trim()));
        let bin_dir = binaries::find(bin_dir, wanted)?;
        let lock = lock::take(&lock_path).map_err(|refused| match refused {
            lock::Refused::Held(owner) => {
                let owner =
                    owner.map_or("a process unknown".into(), |pid| format!("process {pid}"));
                StartError::InUse {
                    dir: base.clone(),
                    owner,
                }
            }
            lock::Refused::Io(error) => doing("lock")(error),
        })?;

        // Only the server's account and root may use the socket: whoever connects is not asked for
        // a password.
        fs::set_permissions(&base, Permissions::from_mode(0o700)).map_err(doing("close"))?;
        account
            .own(&base)
            .and_then(|()| account.own(&lock_path))
            .map_err(doing("change owner of"))?;
        account.check_reaches(&base)?;
        if !postmaster::end_orphan(&data, Stop::Fast) {
            let owner = "a server left running that does not stop".into();
            return Err(StartError::InUse { dir: base, owner });
        }
        Ok(Self {
            account,
            bin_dir,
            base,
            lock,
        })
    }

    /// Whether a socket in this directory would have too long a name.
    pub(crate) fn needs_short_socket_dir(&self) -> bool {
        self.base.join(".s.PGSQL.5432").as_os_str().as_bytes().len() > LONGEST_SOCKET
    }
}
