//! `media`: the files that messages brought, for an operator who must look at one.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    str::FromStr,
};

use anyhow::Context;
use clap::Subcommand;
use jobs::MediaStore;
use sqlx::PgConnection;
use store::{
    Keyring,
    media::{self, Media, media_id},
};
use twilio::{MessageSid, webhook::MAX_MEDIA};
use uuid::Uuid;

use crate::{
    config::{DatabaseConfig, Env, LogConfig, MediaStoreConfig, Reader, keyring},
    database, telemetry,
};

/// What can be asked of media.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open one file. What it holds is personal: mind where it goes.
    Get {
        /// The file's id, or its message's SID, with /N for the Nth file from 0 if there are several.
        #[arg(value_name = "MEDIA_ID|MESSAGE_SID[/N]")]
        file: Name,
        /// Write it to this file, which must not exist yet, instead of the standard output.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List the files of a message, without their contents.
    List {
        /// The message's SID.
        message: MessageSid,
    },
}

/// Which file.
#[derive(Debug, Clone)]
pub enum Name {
    /// By its own id.
    Id(Uuid),
    /// The only file of a message.
    Only(MessageSid),
    /// By its place in a message.
    Nth(MessageSid, u8),
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "name a file by its id, by its message's SID, or by SID/N";
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let (sid, place) = match text.split_once('/') {
            Some((sid, place)) => (sid, Some(place)),
            None => (text, None),
        };
        let sid = sid.parse().map_err(|_| wrong)?;
        match place.map(str::parse) {
            None => Ok(Self::Only(sid)),
            Some(Ok(place)) if place < MAX_MEDIA => Ok(Self::Nth(sid, place)),
            Some(_) => Err(wrong),
        }
    }
}

pub(super) async fn open_and_run(env: &Env, command: Command) -> anyhow::Result<()> {
    let (log, database, keyring, store) = Reader::read(env, |r| {
        let (log, database) = (LogConfig::read(r), DatabaseConfig::read(r));
        let (keyring, store) = (keyring(r), MediaStoreConfig::read(r));
        Some((log?, database?, keyring?, store?))
    })?;
    telemetry::init_logs(&log)?;
    let pool = database::pool(&database);
    let mut conn = pool.acquire().await.context("cannot reach the database")?;
    let store = store.open().context("MEDIA_STORE cannot be used")?;
    run(&mut conn, &keyring, &store, command, &mut io::stdout()).await
}

/// Does it, writing to `out`.
///
/// # Errors
/// With what an operator can do about it.
pub async fn run(
    conn: &mut PgConnection,
    keyring: &Keyring,
    store: &MediaStore,
    command: Command,
    out: &mut (impl Write + IsTerminal),
) -> anyhow::Result<()> {
    match command {
        Command::Get { file, output } => {
            let media = find(conn, &file).await?;
            match output {
                Some(path) => {
                    let mut options = OpenOptions::new();
                    options.write(true).create_new(true).mode(0o600);
                    let mut file = options
                        .open(&path)
                        .with_context(|| format!("cannot make {}", path.display()))?;
                    copy(keyring, store, &media, &mut file).await?;
                    file.sync_all()?;
                    Ok(())
                }
                None if out.is_terminal() => {
                    anyhow::bail!("this is no text: name a file with --output, or send it on")
                }
                None => copy(keyring, store, &media, out).await,
            }
        }
        Command::List { message } => {
            let files = media::of_message(conn, message.as_str()).await?;
            Ok(list(&files, out)?)
        }
    }
}

async fn find(conn: &mut PgConnection, name: &Name) -> anyhow::Result<Media> {
    let id = match name {
        Name::Id(id) => *id,
        Name::Nth(sid, place) => media_id(sid.as_str(), *place),
        Name::Only(sid) => {
            let mut files = media::of_message(conn, sid.as_str()).await?;
            anyhow::ensure!(
                files.len() < 2,
                "this message has several files: add /0 or another place that `media list` shows"
            );
            return files.pop().context("this message has no files");
        }
    };
    media::load(conn, id)
        .await?
        .context("there is no such file")
}

async fn copy(
    keyring: &Keyring,
    store: &MediaStore,
    media: &Media,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let object = media
        .object(keyring)?
        .with_context(|| format!("this file is not there: {}", media.state.label()))?;
    let mut reader = store.open(&object).await?;
    while let Some(piece) = reader.next().await? {
        out.write_all(&piece)?;
    }
    out.flush()?;
    Ok(())
}

fn list(files: &[Media], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<36}  {:<2}  {:<18}  {:<15}  {:>9}  {:<11}  STORED",
        "ID", "N", "STATE", "TYPE", "BYTES", "PIXELS"
    )?;
    for file in files {
        let bytes = file.bytes.map(|bytes| bytes.to_string());
        let pixels = file
            .dimensions
            .map(|(width, height)| format!("{width}x{height}"));
        let stored = file
            .stored_at
            .map(|at| at.format("%Y-%m-%d %H:%M").to_string());
        writeln!(
            out,
            "{}  {:<2}  {:<18}  {:<15}  {:>9}  {:<11}  {}",
            file.id,
            file.position,
            file.state.label(),
            file.content_type.as_deref().unwrap_or_default(),
            bytes.unwrap_or_default(),
            pixels.unwrap_or_default(),
            stored.unwrap_or_default(),
        )?;
    }
    Ok(())
}
