//! The settings of the database.

use std::str::FromStr;

use queue::Servers;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{parse::boolean, reader::Reader};

/// The database and how many connections a process may make for requests and jobs.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// The servers of `DATABASE_URL`, or of `DATABASE_HOST` and its companions.
    pub servers: Servers,
    /// `DATABASE_POOL_MAX`.
    pub max_connections: u32,
}

impl DatabaseConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let max_connections = r.required("DATABASE_POOL_MAX", |text| match text.parse() {
            Ok(n @ 3..=1000) => Ok(n),
            _ => {
                Err("must be a number from 3 to 1000: the receiver needs at least three".to_owned())
            }
        });
        let servers = if r.text("DATABASE_URL").is_none() && r.text("DATABASE_HOST").is_none() {
            r.mistake(
                "DATABASE_URL",
                "is not set, and neither is DATABASE_HOST. It looks like postgres://user:password@host:5432/name",
            );
            None
        } else if r.text("DATABASE_URL").is_some() {
            r.required("DATABASE_URL", from_url)
        } else {
            Self::from_parts(r)
        };
        Some(Self {
            servers: Servers::new(
                servers?
                    .into_iter()
                    .map(|options| options.application_name("pigeonhole"))
                    .collect(),
            ),
            max_connections: max_connections?,
        })
    }

    fn from_parts(r: &mut Reader<'_>) -> Option<Vec<PgConnectOptions>> {
        let host = r.required("DATABASE_HOST", |text| Ok(text.to_owned()));
        let port: Option<u16> = r.required("DATABASE_PORT", |text| {
            text.parse().map_err(|_| "must be a port number".to_owned())
        });
        let name = r.required("DATABASE_NAME", |text| Ok(text.to_owned()));
        let user = r.required("DATABASE_USER", |text| Ok(text.to_owned()));
        let password = r.optional("DATABASE_PASSWORD", |text| Ok(text.to_owned()));
        let ssl = r.required("DATABASE_SSL", boolean);
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(port?)
            .database(&name?)
            .username(&user?)
            .ssl_mode(if ssl? {
                PgSslMode::Require
            } else {
                PgSslMode::Prefer
            });
        if let Some(password) = password? {
            options = options.password(&password);
        }
        let hosts = host?;
        let hosts = hosts
            .split(',')
            .map(|host| options.clone().host(host.trim()));
        Some(hosts.collect())
    }
}

/// One set of options for each host of a URL. A list of hosts is libpq's form, which sqlx does not
/// know: `postgres://user@host1:5432,host2:5432/name?target_session_attrs=read-write`.
fn from_url(text: &str) -> Result<Vec<PgConnectOptions>, String> {
    let (scheme, rest) = text.split_once("://").ok_or(NOT_A_URL)?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let tail = without_session_attributes(tail)?;
    hosts
        .split(',')
        .map(|host| {
            // The parser's error may quote the password.
            PgConnectOptions::from_str(&format!("{scheme}://{user}{host}{tail}"))
                .map_err(|_| NOT_A_URL.to_owned())
        })
        .collect()
}

const NOT_A_URL: &str = "is not a Postgres URL: it looks like postgres://user:password@host:5432/name, with special \
     characters of the password percent-encoded";

/// Takes `target_session_attrs` out of what follows the hosts. Whatever it asks for, only a server
/// that can be written to is used.
fn without_session_attributes(tail: &str) -> Result<String, String> {
    let Some((path, query)) = tail.split_once('?') else {
        return Ok(tail.to_owned());
    };
    let mut others = Vec::new();
    for pair in query.split('&') {
        match pair.strip_prefix("target_session_attrs=") {
            Some("any" | "read-write" | "primary") => {}
            Some(_) => {
                return Err(
                    "asks for a server that cannot be written to: target_session_attrs must be read-write".to_owned(),
                );
            }
            None => others.push(pair),
        }
    }
    Ok(if others.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", others.join("&"))
    })
}
