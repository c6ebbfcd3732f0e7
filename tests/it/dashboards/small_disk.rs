//! A small disk for tests of a full disk.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A file system of 16 MiB. Dropping it unmounts it.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Prints a notice and returns `None` if this user may not mount.
    pub(crate) fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            Some(Self { folder })
        } else {
            eprintln!("SKIPPED: a full disk, as this user may not mount one of its own");
            None
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that uses all free space. Returns its path.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path().join("somebody-elses-backup");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.folder.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.path().display());
        }
    }
}
