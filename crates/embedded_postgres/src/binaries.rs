//! Finds the server binaries. `script/bootstrap` searches the same directories: change both
//! together.

use std::{
    cmp::Reverse,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::StartError;

/// The variable that names the directory of the binaries. Then no other is searched.
/// `script/postgres-matrix` runs the tests with several versions this way.
const BIN_DIR: &str = "PIGEONHOLE_POSTGRES_BIN";

/// Directories with one subdirectory per version: the parent, the prefix of the subdirectory's
/// name, and the directory of the binaries in it.
const VERSIONED: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                   // Fedora and RHEL, from postgresql.org
    ("/opt/homebrew/opt", "postgresql@", "bin"), // Homebrew on Apple silicon
    ("/usr/local/opt", "postgresql@", "bin"),    // Homebrew on Intel
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// Returns the directory of `initdb` and `postgres`: the requested one, else that of the variable,
/// else the first found. For existing data, `wanted` is its directory and major version: a server of
/// another version would refuse the data.
pub(crate) fn find(
    requested: Option<&Path>,
    wanted: Option<(&Path, &str)>,
) -> Result<PathBuf, StartError> {
    let chosen = env::var_os(BIN_DIR).filter(|dir| !dir.is_empty());
    let chosen = chosen.map(PathBuf::from);
    let searched = requested
        .or(chosen.as_deref())
        .map_or_else(candidates, |dir| vec![dir.to_path_buf()]);
    let mut complete = searched.iter().filter(|dir| is_complete(dir)).peekable();
    if complete.peek().is_none() {
        return Err(StartError::NoBinaries { searched });
    }
    let found = complete.find(|dir| wanted.is_none_or(|(_, major)| is_major(dir, major)));
    match (found, wanted) {
        (Some(dir), _) => Ok(dir.clone()),
        (None, Some((dir, wanted))) => {
            let (dir, wanted) = (dir.to_path_buf(), wanted.to_owned());
            Err(StartError::NoBinariesOfVersion {
                dir,
                wanted,
                searched,
            })
        }
        (None, None) => Err(StartError::NoBinaries { searched }),
    }
}

fn is_complete(dir: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|binary| dir.join(binary).is_file())
}

/// The directories to search: first the user's choice (`pg_config`, PATH), then known directories,
/// newest version first.
fn candidates() -> Vec<PathBuf> {
    let pg_config = Command::new("pg_config")
        .arg("--bindir")
        .stderr(Stdio::null())
        .output();
    let pg_config = pg_config
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let path = env::var_os("PATH").unwrap_or_default();

    let mut dirs: Vec<PathBuf> = pg_config
        .iter()
        .map(|dir| PathBuf::from(dir.trim()))
        .collect();
    dirs.extend(env::split_paths(&path));
    for (parent, prefix, tail) in VERSIONED {
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let version = entry
                    .file_name()
                    .to_str()?
                    .strip_prefix(prefix)?
                    .parse()
                    .ok()?;
                Some((version, entry.path().join(tail)))
            })
            .collect();
        versions.sort_by_key(|(version, _)| Reverse(*version));
        dirs.extend(versions.into_iter().map(|(_, dir)| dir));
    }
    dirs.retain(|dir| dir.is_absolute());
    dirs
}

/// Whether the binaries are of this major version. For 17, `postgres --version` prints for example
/// `postgres (PostgreSQL) 17.2 (Debian 17.2-1)`.
fn is_major(dir: &Path, major: &str) -> bool {
    let Ok(output) = Command::new(dir.join("postgres")).arg("--version").output() else {
        return false;
    };
    let version = String::from_utf8_lossy(&output.stdout);
    version.split_whitespace().nth(2).is_some_and(|version| {
        version
            .strip_prefix(major)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}
