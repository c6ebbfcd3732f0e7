//! The operating system's account that the server runs as. Postgres refuses to run as root.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use crate::error::StartError;

/// The account that the server runs as.
pub(crate) struct ServerAccount {
    pub(crate) uid: u32,
    /// Set if this process is root and must switch to the account.
    switch_to: Option<OtherAccount>,
}

/// An account other than our own.
struct OtherAccount {
    name: String,
    gid: u32,
}

impl ServerAccount {
    /// Our own account. If we are root: the owner of the existing data, else `postgres`, else
    /// `nobody`.
    pub(crate) fn for_data(data: Option<&Path>) -> Result<Self, StartError> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != 0 {
            return Ok(Self {
                uid,
                switch_to: None,
            });
        }
        let owner = data
            .and_then(|data| fs::metadata(data).ok())
            .filter(|data| data.uid() != 0);
        if let Some(owner) = owner {
            let name = format!("user {}", owner.uid());
            let gid = owner.gid();
            return Ok(Self {
                uid: owner.uid(),
                switch_to: Some(OtherAccount { name, gid }),
            });
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| {
                let (uid, gid) = (id("-u", name)?, id("-g", name)?);
                let switch_to = Some(OtherAccount {
                    name: format!("user `{name}`"),
                    gid,
                });
                (uid != 0).then_some(Self { uid, switch_to })
            })
            .ok_or(StartError::NoAccount)
    }

    /// Returns a command that runs as this account.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(other) = &self.switch_to {
            command.gid(other.gid).uid(self.uid); // this also drops root's supplementary groups
        }
        command
    }

    /// Makes this account the owner of a file or directory.
    pub(crate) fn take_ownership(&self, path: &Path) -> io::Result<()> {
        match &self.switch_to {
            Some(other) => chown(path, Some(self.uid), Some(other.gid)),
            None => Ok(()),
        }
    }

    /// Fails unless this account can enter `dir`. The error names the directory that it cannot
    /// enter.
    pub(crate) fn check_access(&self, dir: &Path) -> Result<(), StartError> {
        let Some(other) = &self.switch_to else {
            return Ok(());
        };
        let can_enter = |dir: &Path| {
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
        if can_enter(dir) {
            return Ok(());
        }
        let barrier = dir
            .ancestors()
            .filter(|ancestor| !can_enter(ancestor))
            .last()
            .unwrap_or(dir);
        Err(StartError::OutOfReach {
            barrier: barrier.into(),
            account: other.name.clone(),
        })
    }
}

/// Runs `id`, which reads every source of accounts that the system has. The same lookup in Rust
/// would need unsafe code.
fn id(option: &str, name: &str) -> Option<u32> {
    let output = Command::new("id")
        .args([option, name])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
