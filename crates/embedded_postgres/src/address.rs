//! How a server's databases are reached.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::PostgresServer;

impl PostgresServer {
    /// The address of a database, for sqlx and libpq alike. There is always one named `postgres`.
    pub fn url(&self, database: &str) -> String {
        let socket_dir = percent_encode(&self.socket_dir.to_string_lossy());
        // The port is a part of the socket's name. It is spelt out because PGPORT would replace a
        // default.
        format!(
            "postgres://postgres@{socket_dir}:5432/{}",
            percent_encode(database)
        )
    }

    /// The address of a database, which is created if there is none of this name.
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

/// Everything but letters, digits and `-_.~`, also slashes: the directory of the socket stands
/// where a host would.
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
