//! The database: can it be reached, is it one that we can work on, and does it look after itself?

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use store::{
    Migrations, StoreError,
    checkup::{self, Server},
};
use tokio::time::timeout;

use super::finding::Finding;

const REACHED: &str = "database";

/// How long a connection may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The oldest version that we are tested with.
const TESTED: i32 = 15;

/// A clock that is off by this much should be looked at.
const CLOCK_WARNING: TimeDelta = TimeDelta::seconds(5);

/// With one that is off by this much, tokens expire early or late, and clouds refuse us.
const CLOCK_FAULT: TimeDelta = TimeDelta::seconds(60);

/// A connection for all that is to be asked.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Finding> {
    let connecting = async { anyhow::Ok(PgConnection::connect_with(options).await?) };
    let connected = timeout(LIMIT, connecting).await;
    connected
        .context("it does not answer within 5 s")
        .flatten()
        .map_err(|error| unreachable(&error))
}

fn unreachable(error: &anyhow::Error) -> Finding {
    let database = error
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error);
    let code = database.and_then(sqlx::error::DatabaseError::code);
    let fix = match code.as_deref() {
        Some("28P01" | "28000") => {
            "correct the user and password in DATABASE_URL, or let the user in by pg_hba.conf"
        }
        Some("3D000") => "correct the name in DATABASE_URL, or make the database: createdb NAME",
        Some("53300") => "raise max_connections at Postgres, or lower DATABASE_POOL_MAX",
        Some("57P03") => "wait: Postgres is starting or stopping",
        // What poolers say of a parameter that they do not know.
        Some("08P01") => {
            "connect to Postgres itself; or, if a pooler in session mode is meant, have it ignore extra_float_digits \
             (PgBouncer: ignore_startup_parameters)"
        }
        _ => "start Postgres, or correct the host and port in DATABASE_URL",
    };
    let says = format!("the database cannot be used: {error:#}");
    Finding::fault(REACHED, says, fix)
}

/// What it is, and how we are connected.
pub(super) async fn server(conn: &mut PgConnection, options: &PgConnectOptions) -> Vec<Finding> {
    match checkup::server(conn).await {
        Ok(server) => vec![
            reached(server),
            version(server.version),
            tls(server, options),
        ],
        Err(error) => vec![Finding::failed(REACHED, error)],
    }
}

fn reached(server: Server) -> Finding {
    if server.replica {
        return Finding::fault(
            REACHED,
            "the database is a replica, on which nothing can be written",
            "point DATABASE_URL at the primary; in a list of hosts, add target_session_attrs=read-write",
        );
    }
    Finding::ok(REACHED, "the database can be reached, and written to")
}

fn version(version: i32) -> Finding {
    let (check, major) = ("postgres_version", version / 10_000);
    let says = format!("Postgres {major}.{}", version % 10_000);
    if major >= TESTED {
        Finding::ok(check, says)
    } else if major == TESTED - 1 {
        Finding::warning(
            check,
            format!("{says}: we are tested with {TESTED}, and this may do"),
            "upgrade Postgres to 15 or newer",
        )
    } else {
        Finding::fault(
            check,
            format!("{says} is too old"),
            "upgrade Postgres to 15 or newer",
        )
    }
}

fn tls(server: Server, options: &PgConnectOptions) -> Finding {
    let local = options.get_socket().is_some() || is_this_machine(options.get_host());
    judge_tls(
        server.tls,
        local,
        options.get_host(),
        options.get_ssl_mode(),
    )
}

/// A folder is that of a Unix socket.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    host.starts_with('/')
        || host == "localhost"
        || address.is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

fn judge_tls(encrypted: bool, local: bool, host: &str, mode: PgSslMode) -> Finding {
    let check = "database_tls";
    let fix =
        "end DATABASE_URL with ?sslmode=verify-full&sslrootcert=FILE, or set DATABASE_SSL=true";
    match (encrypted, mode) {
        (false, _) if local => Finding::ok(check, "no TLS, and none needed: it is this machine"),
        (false, _) if !host.contains(['.', ':']) => Finding::warning(
            check,
            "the connection is not encrypted; the database's host has a name of a local network",
            fix,
        ),
        (false, _) => Finding::fault(
            check,
            "the connection to the database's host is not encrypted: whoever is between can read the items, and change \
             them",
            fix,
        ),
        (true, PgSslMode::Allow | PgSslMode::Prefer) if !local => Finding::warning(
            check,
            "the connection is encrypted, but only because the server offers it: whoever is between can turn it off",
            fix,
        ),
        (true, _) => Finding::ok(check, "the connection is encrypted"),
    }
}

/// Does its clock agree with this machine's?
pub(super) async fn clock(conn: &mut PgConnection) -> Finding {
    match ahead(conn).await {
        Ok(ahead) => judge_clock(ahead),
        Err(error) => Finding::failed("clock", error),
    }
}

async fn ahead(conn: &mut PgConnection) -> Result<TimeDelta, StoreError> {
    let mut tx = checkup::begin(conn).await?;
    let before = here();
    let there = store::now(&mut tx).await?;
    let after = here();
    tx.rollback().await?;
    Ok(there - (before + (after - before) / 2))
}

fn judge_clock(ahead: TimeDelta) -> Finding {
    let (check, off) = ("clock", ahead.abs());
    let seconds = off.as_seconds_f64();
    if off <= CLOCK_WARNING {
        return Finding::ok(
            check,
            "the clocks of this machine and of the database agree",
        );
    }
    let which = if ahead > TimeDelta::zero() {
        "ahead of"
    } else {
        "behind"
    };
    let says = format!(
        "the database's clock is {seconds:.0} s {which} this machine's: bearer tokens are judged by this machine's, all \
         else by the database's"
    );
    let fix = "let both keep time by NTP: timedatectl set-ntp true";
    if off <= CLOCK_FAULT {
        Finding::warning(check, says, fix)
    } else {
        Finding::fault(check, says, fix)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this machine's clock is what is to be compared"
)]
fn here() -> DateTime<Utc> {
    Utc::now()
}

async fn compare(conn: &mut PgConnection) -> Result<Migrations, StoreError> {
    let mut tx = checkup::begin(conn).await?;
    let found = store::migrations(&mut tx).await?;
    tx.rollback().await?;
    Ok(found)
}

/// Are the tables as this program wants them? With the finding, whether there is something to be looked into.
pub(super) async fn migrations(conn: &mut PgConnection) -> (Finding, bool) {
    let check = "migrations";
    let found = match compare(conn).await {
        Ok(found) => found,
        Err(error) => return (Finding::failed(check, error), false),
    };
    let list = |versions: &[i64]| {
        let texts: Vec<_> = versions.iter().map(|v| format!("{v:04}")).collect();
        texts.join(", ")
    };
    if !found.missing.is_empty() {
        let says = format!("migrations are missing: {}", list(&found.missing));
        return (Finding::fault(check, says, "pigeonhole migrate"), false);
    }
    if !found.altered.is_empty() {
        let says = format!(
            "migrations were applied with another text than this program's: {}",
            list(&found.altered)
        );
        let fix =
            "run the program that made this database; migrations that were released never change";
        return (Finding::fault(check, says, fix), true);
    }
    if !found.unknown.is_empty() {
        let says = format!(
            "the database has migrations of a newer program: {}",
            list(&found.unknown)
        );
        let fix = "upgrade this program, if it is not about to be";
        return (Finding::warning(check, says, fix), true);
    }
    (Finding::ok(check, "all migrations are applied"), true)
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Status, *};

    #[test]
    fn a_version_that_we_are_not_tested_with_is_told() {
        for (number, expected) in [
            (150_013, Status::Ok),
            (180_000, Status::Ok),
            (140_012, Status::Warning),
            (130_000, Status::Fault),
            (90_624, Status::Fault),
        ] {
            assert_eq!(version(number).status, expected, "{number}");
        }
    }

    #[test]
    fn a_connection_in_clear_to_another_machine_is_a_fault() {
        for (encrypted, host, mode, expected) in [
            (false, "/var/run/postgresql", PgSslMode::Prefer, Status::Ok),
            (false, "localhost", PgSslMode::Prefer, Status::Ok),
            (false, "[::1]", PgSslMode::Prefer, Status::Ok),
            (false, "127.0.0.1", PgSslMode::Disable, Status::Ok),
            (false, "postgres", PgSslMode::Prefer, Status::Warning),
            (false, "db.example.com", PgSslMode::Prefer, Status::Fault),
            (false, "10.0.0.7", PgSslMode::Prefer, Status::Fault),
            (true, "db.example.com", PgSslMode::Prefer, Status::Warning),
            (true, "db.example.com", PgSslMode::Require, Status::Ok),
            (true, "db.example.com", PgSslMode::VerifyFull, Status::Ok),
        ] {
            let found = judge_tls(encrypted, is_this_machine(host), host, mode);
            assert_eq!(found.status, expected, "{encrypted} {host} {mode:?}");
        }
    }

    #[test]
    fn a_clock_may_be_off_by_seconds_and_not_by_minutes() {
        for (seconds, expected) in [
            (0, Status::Ok),
            (-4, Status::Ok),
            (30, Status::Warning),
            (-30, Status::Warning),
            (61, Status::Fault),
            (-3600, Status::Fault),
        ] {
            let found = judge_clock(TimeDelta::seconds(seconds));
            assert_eq!(found.status, expected, "{seconds}");
        }
        assert!(
            judge_clock(TimeDelta::seconds(90))
                .says
                .contains("90 s ahead")
        );
        assert!(
            judge_clock(TimeDelta::seconds(-90))
                .says
                .contains("90 s behind")
        );
    }
}
