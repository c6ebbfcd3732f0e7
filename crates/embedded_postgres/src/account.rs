//! Whom the server runs as: us, or, as Postgres refuses to run as root, somebody else.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use crate::StartError;

/// Whom the server runs as.
pub(crate) struct Account {
    pub(crate) uid: u32,
    /// Set when we are root and must drop to this account.
    drop_to: Option<Other>,
}

struct Other {
    name: String,
    gid: u32,
}

impl Account {
    /// Ourselves, or, when we are root, the owner of the existing data, else `postgres`, else
    /// `nobody`.
    pub(crate) fn for_data(data: Option<&Path>) -> Result<Self, StartError> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != 0 {
            return Ok(Self { uid, drop_to: None });
        }
        let owner = data
            .and_then(|data| fs::metadata(data).ok())
            .filter(|data| data.uid() != 0);
        if let Some(owner) = owner {
            let name = format!("user {}", owner.uid());
            let gid = owner.gid();
            return Ok(Self {
                uid: owner.uid(),
                drop_to: Some(Other { name, gid }),
            });
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| {
                let (uid, gid) = (id("-u", name)?, id("-g", name)?);
                let drop_to = Some(Other {
                    name: format!("user `{name}`"),
                    gid,
                });
                (uid != 0).then_some(Self { uid, drop_to })
            })
            .ok_or(StartError::NoAccount)
    }

    /// A command that runs as this account.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(other) = &self.drop_to {
            command.gid(other.gid).uid(self.uid); // which also gives up root's supplementary groups
        }
        command
    }

    /// Makes a file or directory this account's own.
    pub(crate) fn own(&self, path: &Path) -> io::Result<()> {
        match &self.drop_to {
            Some(other) => chown(path, Some(self.uid), Some(other.gid)),
            None => Ok(()),
        }
    }

    /// Errors, naming the directory in the way, unless this account can enter `dir`.
    pub(crate) fn check_reaches(&self, dir: &Path) -> Result<(), StartError> {
        let Some(other) = &self.drop_to else {
            return Ok(());
        };
        let enters = |dir: &Path| {
            let mut command = self.command("sh");
            command
                .args(["-c", "cd \"$1\"", "sh"])
                .arg(dir)
                .current_dir("/");
            command
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        if enters(dir) {
            return Ok(());
        }
        let barrier = dir
            .ancestors()
            .filter(|ancestor| !enters(ancestor))
            .last()
            .unwrap_or(dir);
        Err(StartError::OutOfReach {
            barrier: barrier.into(),
            account: other.name.clone(),
        })
    }
}

/// Asks `id`, which knows every source of accounts the system has (and needs no unsafe code here).
fn id(what: &str, name: &str) -> Option<u32> {
    let output = Command::new("id")
        .args([what, name])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
