//! Runs a command with a database of its own, on a throw-away server, with the migrations of a folder applied:
//!
//!     cargo run -p embedded_postgres --example with_database -- migrations COMMAND [ARGUMENT...]
//!
//! The command finds the database in `DATABASE_URL`, and this ends with the command's status. `script/prepare` needs
//! it: it must work while the queries of the `store` and `queue` crates do not compile, so it uses neither of them.

use std::{
    env,
    error::Error,
    ffi::OsString,
    path::PathBuf,
    process::{Command, ExitCode},
};

use embedded_postgres::{PostgresServer, PostgresSettings};
use sqlx::{Connection, PgConnection, migrate::Migrator};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let (Some(migrations), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err("usage: with_database MIGRATIONS COMMAND [ARGUMENT...]".into());
    };
    let server = PostgresServer::start_temporary(PostgresSettings::default())?;
    let url = server.ensure_database("pigeonhole").await?;
    migrate(migrations.into(), &url).await?;

    let mut command = Command::new(program);
    command.args(arguments).env("DATABASE_URL", url);
    // `cargo run` tells us which package we are. The command may well be cargo again: about other packages.
    for (name, _) in env::vars_os().filter(|(name, _)| is_about_this_package(name)) {
        command.env_remove(name);
    }
    let status = command.status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// As `store::migrate` does it.
async fn migrate(folder: PathBuf, url: &str) -> Result<(), Box<dyn Error>> {
    let mut migrator = Migrator::new(folder).await?;
    migrator.dangerous_set_table_name("pigeonhole._sqlx_migrations");
    migrator.create_schema("pigeonhole");
    let mut conn = PgConnection::connect(url).await?;
    migrator.run(&mut conn).await?;
    Ok(conn.close().await?)
}

fn is_about_this_package(name: &OsString) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}
