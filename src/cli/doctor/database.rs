//! Checks the database: the connection, the version, TLS, the clock and the migrations.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use queue::Servers;
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use store::{
    MigrationStatus, StoreError,
    diagnostics::{self, DatabaseServer},
};
use tokio::time::timeout;

use super::finding::Finding;

const REACHED: &str = "database";

/// The longest time that connecting may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The oldest major version that the tests run with.
const TESTED: i32 = 15;

/// A difference of the clocks that an operator should look at.
const CLOCK_WARNING: TimeDelta = TimeDelta::seconds(5);

/// With this difference, tokens expire early or late, and cloud services refuse our requests.
const CLOCK_FAULT: TimeDelta = TimeDelta::seconds(60);

/// The connection that all checks of the database share, and to which of the servers it is: the one
/// that can be written to. If there is none, the first that responds, as the report is to say why.
pub(super) async fn connect(
    servers: &Servers,
) -> Result<(PgConnection, PgConnectOptions), Finding> {
    if servers.all().len() > 1
        && let Ok(conn) = servers.connect(LIMIT).await
    {
        return Ok((conn, servers.current()));
    }
    let mut fault = None;
    for options in servers.all() {
        let connecting = async { anyhow::Ok(PgConnection::connect_with(options).await?) };
        let connected = timeout(LIMIT, connecting).await;
        match connected
            .context("it does not respond within 5 s")
            .flatten()
        {
            Ok(conn) => return Ok((conn, options.clone())),
            Err(error) => fault = Some(unreachable(&error)),
        }
    }
    Err(fault.unwrap_or_else(|| Finding::unchecked(REACHED, "DATABASE_URL names no server")))
}

fn unreachable(error: &anyhow::Error) -> Finding {
    let database = error
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error);
    let code = database.and_then(sqlx::error::DatabaseError::code);
    let fix = match code.as_deref() {
        Some("28P01" | "28000") => {
            "correct the user and password in DATABASE_URL, or allow the user in pg_hba.conf"
        }
        Some("3D000") => "correct the name in DATABASE_URL, or create the database: createdb NAME",
        Some("53300") => "raise max_connections at Postgres, or lower DATABASE_POOL_MAX",
        Some("57P03") => "wait: Postgres is starting or stopping",
        // Poolers return this for a startup parameter that they do not know.
        Some("08P01") => {
            "connect to Postgres directly; or, with a pooler in session mode, let the pooler ignore extra_float_digits \
             (PgBouncer: ignore_startup_parameters)"
        }
        _ => "start Postgres, or correct the host and port in DATABASE_URL",
    };
    let says = format!("the database cannot be used: {error:#}");
    Finding::fault(REACHED, says, fix)
}

/// Checks the server and the connection to it.
pub(super) async fn server(conn: &mut PgConnection, options: &PgConnectOptions) -> Vec<Finding> {
    match diagnostics::server(conn).await {
        Ok(server) => vec![
            reached(server),
            version(server.version),
            tls(server, options),
        ],
        Err(error) => vec![Finding::failed(REACHED, error)],
    }
}

fn reached(server: DatabaseServer) -> Finding {
    if server.replica {
        return Finding::fault(
            REACHED,
            "the database is a replica, which accepts no writes",
            "point DATABASE_URL at the primary, or list all servers in it: postgres://user@host1,host2/name; \
             Pigeonhole finds the one that can be written to",
        );
    }
    if server.read_only {
        return Finding::fault(
            REACHED,
            "the database is set to read-only: default_transaction_read_only is on",
            "find out why: a provider sets it when the disk is full. Then: alter system reset \
             default_transaction_read_only; select pg_reload_conf()",
        );
    }
    Finding::ok(
        REACHED,
        "the database can be reached, and it accepts writes",
    )
}

fn version(version: i32) -> Finding {
    let (check, major) = ("postgres_version", version / 10_000);
    let says = format!("Postgres {major}.{}", version % 10_000);
    if major >= TESTED {
        Finding::ok(check, says)
    } else if major == TESTED - 1 {
        Finding::warning(
            check,
            format!("{says} may work, but the tests run with {TESTED} and newer"),
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

fn tls(server: DatabaseServer, options: &PgConnectOptions) -> Finding {
    let local = options.get_socket().is_some() || is_this_machine(options.get_host());
    judge_tls(
        server.tls,
        local,
        options.get_host(),
        options.get_ssl_mode(),
    )
}

/// Whether the host is this machine. A path is the directory of a Unix socket.
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
        (false, _) if local => {
            Finding::ok(check, "the database is on this machine, so it needs no TLS")
        }
        (false, _) if !host.contains(['.', ':']) => Finding::warning(
            check,
            "the connection is not encrypted; the host's name looks like one of a local network",
            fix,
        ),
        (false, _) => Finding::fault(
            check,
            "the connection to the database's host is not encrypted: an attacker on the network can read and change the \
             items",
            fix,
        ),
        (true, PgSslMode::Allow | PgSslMode::Prefer) if !local => Finding::warning(
            check,
            "the connection is encrypted only if the server offers it: an attacker on the network can switch that off",
            fix,
        ),
        (true, _) => Finding::ok(check, "the connection is encrypted"),
    }
}

/// Compares the database's clock with this machine's.
pub(super) async fn clock(conn: &mut PgConnection) -> Finding {
    match ahead(conn).await {
        Ok(ahead) => judge_clock(ahead),
        Err(error) => Finding::failed("clock", error),
    }
}

async fn ahead(conn: &mut PgConnection) -> Result<TimeDelta, StoreError> {
    let mut tx = diagnostics::begin(conn).await?;
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
        "the database's clock is {seconds:.0} s {which} this machine's. The expiry of bearer tokens follows this \
         machine's clock; everything else follows the database's"
    );
    let fix = "set both clocks by NTP: timedatectl set-ntp true";
    if off <= CLOCK_FAULT {
        Finding::warning(check, says, fix)
    } else {
        Finding::fault(check, says, fix)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the check compares this machine's clock with the database's"
)]
pub(super) fn here() -> DateTime<Utc> {
    Utc::now()
}

async fn compare(conn: &mut PgConnection) -> Result<MigrationStatus, StoreError> {
    let mut tx = diagnostics::begin(conn).await?;
    let found = store::migration_status(&mut tx).await?;
    tx.rollback().await?;
    Ok(found)
}

/// Compares the applied migrations with this program's. The flag says whether the tables exist, so
/// that other checks can read them.
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
    if !found.outdated_functions.is_empty() {
        let says = format!(
            "functions are missing or outdated: {}",
            found.outdated_functions.join(", ")
        );
        return (Finding::fault(check, says, "pigeonhole migrate"), true);
    }
    if !found.altered.is_empty() {
        let says = format!(
            "the text of applied migrations differs from this program's: {}",
            list(&found.altered)
        );
        let fix = "run the version of the program that created this database; released migrations never change";
        return (Finding::fault(check, says, fix), true);
    }
    if !found.unknown.is_empty() {
        let says = format!(
            "the database has migrations of a newer version: {}",
            list(&found.unknown)
        );
        let fix = "upgrade this program, unless an upgrade is already in progress";
        return (Finding::warning(check, says, fix), true);
    }
    (
        Finding::ok(check, "all migrations and functions are applied"),
        true,
    )
}

#[cfg(test)]
mod tests {
    use super::{super::finding::FindingStatus, *};

    #[test]
    fn an_untested_version_is_reported() {
        for (number, expected) in [
            (150_013, FindingStatus::Ok),
            (180_000, FindingStatus::Ok),
            (140_012, FindingStatus::Warning),
            (130_000, FindingStatus::Fault),
            (90_624, FindingStatus::Fault),
        ] {
            assert_eq!(version(number).status, expected, "{number}");
        }
    }

    #[test]
    fn an_unencrypted_connection_to_another_machine_is_a_fault() {
        for (encrypted, host, mode, expected) in [
            (
                false,
                "/var/run/postgresql",
                PgSslMode::Prefer,
                FindingStatus::Ok,
            ),
            (false, "localhost", PgSslMode::Prefer, FindingStatus::Ok),
            (false, "[::1]", PgSslMode::Prefer, FindingStatus::Ok),
            (false, "127.0.0.1", PgSslMode::Disable, FindingStatus::Ok),
            (false, "postgres", PgSslMode::Prefer, FindingStatus::Warning),
            (
                false,
                "db.example.com",
                PgSslMode::Prefer,
                FindingStatus::Fault,
            ),
            (false, "10.0.0.7", PgSslMode::Prefer, FindingStatus::Fault),
            (
                true,
                "db.example.com",
                PgSslMode::Prefer,
                FindingStatus::Warning,
            ),
            (
                true,
                "db.example.com",
                PgSslMode::Require,
                FindingStatus::Ok,
            ),
            (
                true,
                "db.example.com",
                PgSslMode::VerifyFull,
                FindingStatus::Ok,
            ),
        ] {
            let found = judge_tls(encrypted, is_this_machine(host), host, mode);
            assert_eq!(found.status, expected, "{encrypted} {host} {mode:?}");
        }
    }

    #[test]
    fn clocks_may_differ_by_seconds_but_not_by_minutes() {
        for (seconds, expected) in [
            (0, FindingStatus::Ok),
            (-4, FindingStatus::Ok),
            (30, FindingStatus::Warning),
            (-30, FindingStatus::Warning),
            (61, FindingStatus::Fault),
            (-3600, FindingStatus::Fault),
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
