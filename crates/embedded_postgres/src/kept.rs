//! Opens a directory whose data outlives the server.

use std::{
    fs::{self, File, Permissions},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{
    account::ServerAccount, binaries, error::StartError, lock, postmaster, supervisor::Stop,
};

/// The longest path of a socket. macOS allows 104 bytes and Linux 108, with the final zero.
const LONGEST_SOCKET: usize = 100;

/// A locked directory on which a server can start.
pub(crate) struct KeptDirectory {
    pub(crate) account: ServerAccount,
    pub(crate) bin_dir: PathBuf,
    pub(crate) base: PathBuf,
    pub(crate) lock: File,
}

impl KeptDirectory {
    /// Creates the directory if it is missing, locks it, and stops a server that still runs on it
    /// because its supervisor was killed.
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
        let account = ServerAccount::for_data(Some(&data))?;
        let major = fs::read_to_string(data.join("PG_VERSION")).ok();
        let wanted = major.as_deref().map(|major| (&*base, major.trim()));
        let bin_dir = binaries::find(bin_dir, wanted)?;
        let lock = lock::take(&lock_path).map_err(|error| match error {
            lock::LockError::Held(owner) => {
                let owner =
                    owner.map_or("an unknown process".into(), |pid| format!("process {pid}"));
                StartError::InUse {
                    dir: base.clone(),
                    owner,
                }
            }
            lock::LockError::Io(error) => doing("lock")(error),
        })?;

        // The server asks for no password, so only its account and root may reach the socket.
        fs::set_permissions(&base, Permissions::from_mode(0o700)).map_err(doing("close"))?;
        account
            .take_ownership(&base)
            .and_then(|()| account.take_ownership(&lock_path))
            .map_err(doing("change owner of"))?;
        account.check_access(&base)?;
        if !postmaster::stop_orphan(&data, Stop::Fast) {
            let owner = "an earlier server that does not stop".into();
            return Err(StartError::InUse { dir: base, owner });
        }
        Ok(Self {
            account,
            bin_dir,
            base,
            lock,
        })
    }

    /// Whether the path of a socket in this directory would be too long.
    pub(crate) fn needs_short_socket_dir(&self) -> bool {
        self.base.join(".s.PGSQL.5432").as_os_str().as_bytes().len() > LONGEST_SOCKET
    }
}
