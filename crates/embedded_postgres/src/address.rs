//! The URLs of a server's databases.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::server::PostgresServer;

impl PostgresServer {
    /// The URL of a database, for sqlx and libpq. The database `postgres` always exists.
    pub fn url(&self, database: &str) -> String {
        let socket_dir = percent_encode(&self.socket_dir.to_string_lossy());
        // The port is part of the socket's name. The URL names it, as PGPORT would replace a
        // default.
        format!(
            "postgres://postgres@{socket_dir}:5432/{}",
            percent_encode(database)
        )
    }

    /// Creates the database if it is missing, and returns its URL.
    pub async fn ensure_database(&self, name: &str) -> Result<String, sqlx::Error> {
        let mut conn = PgConnection::connect(&self.url("postgres")).await?;
        let exists: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                .bind(name)
                .fetch_one(&mut conn)
                .await?;
        if !exists {
            let quoted = name.replace('"', "\"\"");
            let create = AssertSqlSafe(format!("create database \"{quoted}\""));
            sqlx::raw_sql(create).execute(&mut conn).await?;
        }
        conn.close().await?;
        Ok(self.url(name))
    }
}

/// Encodes everything but letters, digits and `-_.~`. It also encodes slashes, as the directory of
/// the socket stands in the place of a host.
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
