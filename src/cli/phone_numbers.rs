//! `phone-numbers`: links phone numbers to users, without a verification code.

#![expect(clippy::print_stdout, reason = "the output of the command")]

use anyhow::Context;
use clap::Subcommand;
use sqlx::PgConnection;
use store::{E164, Keyring, user_phone_numbers, users};
use uuid::Uuid;

use crate::{
    config::{DatabaseConfig, Env, LogConfig, Reader, keyring},
    database, telemetry,
};

#[derive(Debug, Subcommand)]
pub(super) enum PhoneNumbersCommand {
    /// Link a number to a user as verified. From now on, text messages from it belong to that user.
    Link {
        /// The id of the user. The user must exist, unless --create-user is given.
        #[arg(long, value_name = "UUID")]
        user: Uuid,
        /// The number in E.164, such as +12025550123.
        #[arg(value_parser = number)]
        number: E164,
        /// Create the user if it does not exist.
        #[arg(long)]
        create_user: bool,
    },
    /// List the linked numbers.
    List {
        /// Only this user's numbers.
        #[arg(long, value_name = "UUID")]
        user: Option<Uuid>,
    },
    /// Unlink a number. From now on, text messages from it make no items. Existing items stay.
    Unlink {
        /// The number in E.164, such as +12025550123.
        #[arg(value_parser = number)]
        number: E164,
    },
    /// Replace numbers that the app stored unencrypted by their blind index. It is safe to repeat.
    Seal,
}

fn number(text: &str) -> Result<E164, String> {
    E164::parse(text).map_err(|_| {
        "write it in E.164: + with the country code and the number, without spaces, such as +12025550123".into()
    })
}

pub(super) async fn run(env: &Env, command: PhoneNumbersCommand) -> anyhow::Result<()> {
    let (log, database, keyring) = Reader::read(env, |r| {
        let (log, database) = (LogConfig::read(r), DatabaseConfig::read(r));
        let keyring = keyring(r);
        Some((log?, database?, keyring?))
    })?;
    telemetry::init_logs(&log)?;
    let pool = database::pool(&database);
    let mut conn = pool.acquire().await.context("cannot reach the database")?;
    match command {
        PhoneNumbersCommand::Link {
            user,
            number,
            create_user,
        } => link(&mut conn, &keyring, user, &number, create_user).await,
        PhoneNumbersCommand::List { user } => list(&mut conn, &keyring, user).await,
        PhoneNumbersCommand::Unlink { number } => {
            let rows = user_phone_numbers::unlink(&mut conn, &keyring, &number).await?;
            anyhow::ensure!(rows > 0, "this number is not linked");
            println!("unlinked");
            Ok(())
        }
        PhoneNumbersCommand::Seal => {
            let rows = user_phone_numbers::seal_legacy(&mut conn, &keyring).await?;
            println!("{rows} rows sealed");
            Ok(())
        }
    }
}

async fn link(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user: Uuid,
    number: &E164,
    create_user: bool,
) -> anyhow::Result<()> {
    if create_user {
        users::ensure(conn, user).await?;
    }
    user_phone_numbers::link(conn, keyring, user, number)
        .await
        .map_err(|error| match error {
            store::StoreError::UserGone { .. } => {
                anyhow::anyhow!("there is no user {user}: check the id, or add --create-user")
            }
            error => error.into(),
        })?;
    println!("linked and verified");
    Ok(())
}

async fn list(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user: Option<Uuid>,
) -> anyhow::Result<()> {
    let numbers = user_phone_numbers::list(conn, keyring, user).await?;
    println!(
        "{:<36}  {:<16}  {:<8}  LINKED",
        "USER", "NUMBER", "VERIFIED"
    );
    for row in numbers {
        let number = row.number.as_ref().map_or("(key missing)", E164::as_str);
        let linked = row
            .created_at
            .map(|at| at.format("%Y-%m-%d %H:%M").to_string());
        println!(
            "{:<36}  {number:<16}  {:<8}  {}",
            row.user_id,
            if row.verified { "yes" } else { "no" },
            linked.unwrap_or_default()
        );
    }
    Ok(())
}
