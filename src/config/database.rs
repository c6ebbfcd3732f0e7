//! The settings of the database.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{parse::boolean, reader::Reader};

/// The database and how many connections a process may make for requests and jobs.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`, or `DATABASE_HOST` and its companions.
    pub options: PgConnectOptions,
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
        let options = if r.text("DATABASE_URL").is_none() && r.text("DATABASE_HOST").is_none() {
            r.mistake(
                "DATABASE_URL",
                "is not set, and neither is DATABASE_HOST. It looks like postgres://user:password@host:5432/name",
            );
            None
        } else if r.text("DATABASE_URL").is_some() {
            r.required("DATABASE_URL", |text| {
                // The parser's error may quote the password.
                PgConnectOptions::from_str(text).map_err(|_| {
                    "is not a Postgres URL: it looks like postgres://user:password@host:5432/name, with special \
                     characters of the password percent-encoded"
                        .to_owned()
                })
            })
        } else {
            Self::from_parts(r)
        };
        Some(Self {
            options: options?.application_name("pigeonhole"),
            max_connections: max_connections?,
        })
    }

    fn from_parts(r: &mut Reader<'_>) -> Option<PgConnectOptions> {
        let host = r.required("DATABASE_HOST", |text| Ok(text.to_owned()));
        let port: Option<u16> = r.required("DATABASE_PORT", |text| {
            text.parse().map_err(|_| "must be a port number".to_owned())
        });
        let name = r.required("DATABASE_NAME", |text| Ok(text.to_owned()));
        let user = r.required("DATABASE_USER", |text| Ok(text.to_owned()));
        let password = r.optional("DATABASE_PASSWORD", |text| Ok(text.to_owned()));
        let ssl = r.required("DATABASE_SSL", boolean);
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&host?)
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
        Some(options)
    }
}
