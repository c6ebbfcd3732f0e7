//! Standbys of a server, for tests of failover and of reads that lag.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
    process::Stdio,
};

use sqlx::{Connection, PgConnection};

use crate::{error::StartError, server::PostgresServer, settings::PostgresSettings};

impl PostgresServer {
    /// The settings that a server needs to have standbys.
    pub fn with_standbys(settings: PostgresSettings) -> PostgresSettings {
        settings
            .set("wal_level", "replica")
            .set("max_wal_senders", "10")
    }

    /// Starts a standby of this server on a copy of its data, and returns once it accepts reads. It
    /// streams all further changes, under the name `standby`. The copy is deleted with it.
    ///
    /// This server must have been started with [`PostgresServer::with_standbys`]. SQL does the rest:
    /// `pg_wal_replay_pause()` lets the standby lag, and `pg_promote()` makes it a primary.
    pub async fn start_standby(&self) -> Result<Self, StartError> {
        let sql = |error: sqlx::Error| StartError::io("copy a server")(io::Error::other(error));
        // The same session must begin and end the backup.
        let mut conn = PgConnection::connect(&self.url("postgres"))
            .await
            .map_err(sql)?;
        sqlx::query("select pg_backup_start('standby', fast => true)")
            .execute(&mut conn)
            .await
            .map_err(sql)?;
        let settings = Self::with_standbys(PostgresSettings::default());
        let from = self.dir().join("data");
        // Not `pg_basebackup`: some distributions of the server come without it.
        let copied = Self::temporary(settings, self.bin_dir().to_path_buf())?;
        copied.copy(&from)?;
        let label: String = sqlx::query_scalar("select labelfile from pg_backup_stop(false)")
            .fetch_one(&mut conn)
            .await
            .map_err(sql)?;
        let primary = format!(
            "primary_conninfo = 'host={} port=5432 user=postgres application_name=standby'\n",
            self.socket_dir.display()
        );
        copied.make_standby(&label, &primary)?;
        copied.started()
    }

    fn make_standby(&self, label: &str, primary: &str) -> Result<(), StartError> {
        let data = self.dir().join("data");
        let write = |name: &str, text: &str| {
            let path = data.join(name);
            let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
            file.write_all(text.as_bytes())?;
            self.account.take_ownership(&path)
        };
        write("backup_label", label)
            .and_then(|()| write("standby.signal", ""))
            .and_then(|()| write("postgresql.auto.conf", primary))
            .map_err(StartError::io("write the files of a standby"))
    }

    /// Copies the data directory of a server that runs. Files that vanish meanwhile do not matter:
    /// the log has what happened to them, and this server does not start if another is missing.
    fn copy(&self, from: &Path) -> Result<(), StartError> {
        let to = self.dir().join("data");
        let mut copy = self.account.command("cp");
        copy.arg("-R").arg(from).arg(&to).current_dir("/");
        copy.stderr(Stdio::null())
            .status()
            .map_err(StartError::io("copy the data of a server"))?;
        for name in ["postmaster.pid", "postmaster.opts"] {
            fs::remove_file(to.join(name)).ok(); // they are not always there
        }
        Ok(())
    }
}
