//! Runs a command with its own database, on a temporary server, with the migrations and functions
//! of a folder:
//!
//!     cargo run -p embedded_postgres --example with_database -- migrations COMMAND [ARGUMENT...]
//!
//! The command finds the database in `DATABASE_URL`. This program exits with the command's status.
//! `script/prepare` uses it while the queries of `store` and `queue` may not compile, so it depends
//! on neither crate.

use std::{
    env,
    error::Error,
    ffi::OsString,
    path::PathBuf,
    process::{Command, ExitCode},
};

use embedded_postgres::{PostgresServer, PostgresSettings, apply_migrations};
use sqlx::PgPool;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let (Some(migrations), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err("usage: with_database MIGRATIONS COMMAND [ARGUMENT...]".into());
    };
    let server = PostgresServer::start_temporary(PostgresSettings::default())?;
    let url = server.ensure_database("pigeonhole").await?;
    let pool = PgPool::connect(&url).await?;
    apply_migrations(&pool, &PathBuf::from(migrations)).await?;
    pool.close().await;

    let mut command = Command::new(program);
    command.args(arguments).env("DATABASE_URL", url);
    // `cargo run` sets variables about this package. The command may be cargo for other packages.
    for (name, _) in env::vars_os().filter(|(name, _)| is_about_this_package(name)) {
        command.env_remove(name);
    }
    let status = command.status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn is_about_this_package(name: &OsString) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}
