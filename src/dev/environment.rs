//! The settings of `dev`. The first run generates secrets and keeps them with the database. Each
//! run writes all settings to a file that other commands can read.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use url::Url;

use crate::config::{Env, VARIABLES};

/// The file of the secrets. It must last as long as the database, whose columns they seal.
const SECRETS: &str = "secrets.env";

/// The file of all settings, for the `--env-file` of other commands.
const SETTINGS: &str = "dev.env";

/// The data directory and the secrets of `dev`.
pub(super) struct DevEnvironment {
    pub(super) dir: PathBuf,
    secrets: BTreeMap<String, String>,
}

impl DevEnvironment {
    /// Opens the data directory, or creates it with new secrets.
    pub(super) fn open(dir: Option<PathBuf>) -> anyhow::Result<Self> {
        let dir = match dir {
            Some(dir) => dir,
            None => default_dir()?,
        };
        fs::create_dir_all(&dir).with_context(|| {
            format!(
                "cannot create {}: set --data-dir to another directory",
                dir.display()
            )
        })?;
        let path = dir.join(SECRETS);
        let kept = match read(&path) {
            Ok(secrets) => secrets,
            Err(error) if error.not_found() => BTreeMap::new(),
            Err(_) => anyhow::bail!("{} cannot be read", path.display()),
        };
        // The file of an earlier version may lack newer secrets. Those that it has stay: they seal
        // columns.
        let mut secrets = new_secrets();
        secrets.extend(kept.clone());
        if secrets != kept {
            write(&path, &secrets)?;
        }
        Ok(Self { dir, secrets })
    }

    /// The file of all settings, for other commands.
    pub(super) fn env_file(&self) -> PathBuf {
        self.dir.join(SETTINGS)
    }

    /// The URL of the message files, which are kept beside the database.
    pub(super) fn media_store(&self) -> anyhow::Result<String> {
        let dir = fs::canonicalize(&self.dir)?;
        let url = Url::from_directory_path(dir.join("media")).ok();
        Ok(url
            .context("the data directory has no file URL")?
            .to_string())
    }

    /// Returns all settings, and writes them to [`Self::env_file`]. Flags win over `run_settings`.
    /// An address in use is replaced by a free one, unless a flag sets it.
    pub(super) fn complete(
        &self,
        run_settings: impl IntoIterator<Item = (&'static str, String)>,
        flags: BTreeMap<String, String>,
    ) -> anyhow::Result<Env> {
        let mut settings = self.secrets.clone();
        settings.insert("RUST_LOG".to_owned(), "warn".to_owned());
        for (name, value) in run_settings {
            settings.insert(name.to_owned(), value);
        }
        for name in ["LISTEN_ADDR", "ADMIN_ADDR"] {
            settings.insert(name.to_owned(), free_addr(name)?.to_string());
        }
        settings.extend(flags);
        let base_url = format!("http://{}", settings["LISTEN_ADDR"]);
        settings
            .entry("PUBLIC_BASE_URL".to_owned())
            .or_insert(base_url);
        write(&self.env_file(), &settings)?;
        Ok(Env::of(settings))
    }
}

fn default_dir() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        // Postgres refuses to run as root, and its account may not enter root's home directory.
        return Ok("/var/lib/pigeonhole-dev".into());
    }
    let home = std::env::home_dir().context("no home directory is known: set --data-dir")?;
    Ok(home.join(".local/state/pigeonhole-dev"))
}

/// 32 random hexadecimal digits.
fn hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn new_secrets() -> BTreeMap<String, String> {
    let secrets = [
        ("TWILIO_ACCOUNT_SID", format!("AC{}", hex())),
        ("TWILIO_AUTH_TOKEN", hex()),
        ("TWILIO_PHONE_NUMBER", "+15005550006".to_owned()),
        ("ENCRYPTION_KEY", format!("{}{}", hex(), hex())),
        ("JWT_SECRET", format!("{}{}", hex(), hex())),
    ];
    secrets.map(|(name, value)| (name.to_owned(), value)).into()
}

fn read(path: &Path) -> Result<BTreeMap<String, String>, dotenvy::Error> {
    dotenvy::from_path_iter(path)?.collect()
}

/// Writes the file atomically, readable by its owner only.
fn write(path: &Path, values: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let lines: Vec<_> = values
        .iter()
        .map(|(name, value)| format!("{name}='{value}'\n"))
        .collect();
    let text = lines.concat();
    let draft = path.with_extension("draft");
    let written = (|| {
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// The range to search for a free port. It lies below the ports that systems assign to outgoing
/// connections: one of those could be taken before the listener opens it.
const FREE_PORTS: std::ops::RangeInclusive<u16> = 10_000..=30_000;

/// The number of ports to try.
const TRIES: usize = 100;

/// Returns the setting's default address, or one with a free port if that is in use.
fn free_addr(name: &str) -> anyhow::Result<SocketAddr> {
    let default = VARIABLES
        .iter()
        .find(|variable| variable.name == name)
        .and_then(|v| v.default);
    let default: SocketAddr = default.context("the setting has no default")?.parse()?;
    let others = (0..TRIES).map(|_| SocketAddr::new(default.ip(), rand::random_range(FREE_PORTS)));
    std::iter::once(default)
        .chain(others)
        .find(|addr| TcpListener::bind(addr).is_ok())
        .with_context(|| format!("no free port found: set {name}"))
}
