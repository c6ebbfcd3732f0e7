//! `media`: lists the files that came with messages, and opens one for an operator.

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

/// The `media` commands.
#[derive(Debug, Subcommand)]
pub enum MediaCommand {
    /// Decrypt one file. It holds personal data, so write it only to a safe place.
    Get {
        /// The id of the file, or the SID of its message. If the message has several files, add /N,
        /// counted from 0.
        #[arg(value_name = "MEDIA_ID|MESSAGE_SID[/N]")]
        file: MediaSelector,
        /// Write to this file instead of the standard output. The file must not exist yet.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List the files of a message, without their contents.
    List {
        /// The SID of the message.
        message: MessageSid,
    },
}

/// Names one file.
#[derive(Debug, Clone)]
pub enum MediaSelector {
    /// The file with this id.
    Id(Uuid),
    /// The only file of a message.
    Only(MessageSid),
    /// The file at this position in the message.
    Nth(MessageSid, u8),
}

impl FromStr for MediaSelector {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = "write the id of a file, the SID of its message, or SID/N";
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let (sid, position) = match text.split_once('/') {
            Some((sid, position)) => (sid, Some(position)),
            None => (text, None),
        };
        let sid = sid.parse().map_err(|_| error)?;
        match position.map(str::parse) {
            None => Ok(Self::Only(sid)),
            Some(Ok(position)) if position < MAX_MEDIA => Ok(Self::Nth(sid, position)),
            Some(_) => Err(error),
        }
    }
}

pub(super) async fn open_and_run(env: &Env, command: MediaCommand) -> anyhow::Result<()> {
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

/// Runs the command and writes its result to `out`.
///
/// # Errors
/// The text says what the operator can do.
pub async fn run(
    conn: &mut PgConnection,
    keyring: &Keyring,
    store: &MediaStore,
    command: MediaCommand,
    out: &mut (impl Write + IsTerminal),
) -> anyhow::Result<()> {
    match command {
        MediaCommand::Get { file, output } => {
            let media = find(conn, &file).await?;
            match output {
                Some(path) => {
                    let mut options = OpenOptions::new();
                    options.write(true).create_new(true).mode(0o600);
                    let mut file = options
                        .open(&path)
                        .with_context(|| format!("cannot create {}", path.display()))?;
                    copy(keyring, store, &media, &mut file).await?;
                    file.sync_all()?;
                    Ok(())
                }
                None if out.is_terminal() => {
                    anyhow::bail!(
                        "the file is not text: give --output FILE, or redirect the output"
                    )
                }
                None => copy(keyring, store, &media, out).await,
            }
        }
        MediaCommand::List { message } => {
            let files = media::of_message(conn, message.as_str()).await?;
            Ok(list(&files, out)?)
        }
    }
}

async fn find(conn: &mut PgConnection, selector: &MediaSelector) -> anyhow::Result<Media> {
    let id = match selector {
        MediaSelector::Id(id) => *id,
        MediaSelector::Nth(sid, position) => media_id(sid.as_str(), *position),
        MediaSelector::Only(sid) => {
            let mut files = media::of_message(conn, sid.as_str()).await?;
            anyhow::ensure!(
                files.len() < 2,
                "this message has several files: add /0 or another position that `media list` shows"
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
        .with_context(|| format!("this file is not stored: {}", media.state.label()))?;
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
