//! The keys under which values are sealed, and whether our keys open them.

use base64::{Engine, engine::general_purpose::STANDARD};
use sqlx::{AssertSqlSafe, PgConnection};

use super::transaction::begin;
use crate::error::StoreError;
use crate::keyring::{KeyId, Keyring};
use crate::sealed::Context;

/// The values of a column that are sealed under one key.
#[derive(Debug, Clone)]
pub struct ColumnSeals {
    /// The table.
    pub table: &'static str,
    /// The column; for a JSON column, with the key in it.
    pub column: &'static str,
    /// The key; `None` if a value does not have the form of a sealed value.
    pub key: Option<KeyId>,
    /// How many there are, in the rows that were read.
    pub values: i64,
    /// One of them opens.
    pub opens: bool,
    /// All rows were read. If not, there may be more values, also under other keys.
    pub whole: bool,
}

/// A column with sealed values.
struct SealedColumn {
    table: &'static str,
    column: &'static str,
    /// The sealed bytes, or their base64 in a text column.
    value: &'static str,
    is_text: bool,
    /// The row that the value is bound to, as an expression.
    row: &'static str,
    /// The condition that finds the row of such an expression.
    find: &'static str,
    /// The condition of the rows with such a value.
    when: &'static str,
}

const fn bytes(table: &'static str, column: &'static str) -> SealedColumn {
    SealedColumn {
        table,
        column,
        value: column,
        is_text: false,
        row: "id::text",
        find: "id = found.row_key::uuid",
        when: "true",
    }
}

const COLUMNS: [SealedColumn; 8] = [
    SealedColumn {
        value: "encrypted_phone_number",
        is_text: true,
        // Other rows are the app's, which has its own form.
        when: "phone_number ~ '^[A-Za-z0-9_-]{20}$' and phone_number !~ '^[0-9]+$'",
        ..bytes("user_phone_numbers", "encrypted_phone_number")
    },
    SealedColumn {
        row: "message_sid",
        find: "message_sid = found.row_key",
        ..bytes("pigeonhole.inbound_messages", "sealed")
    },
    bytes("pigeonhole.sends", "sealed"),
    bytes("pigeonhole.media", "sealed_key"),
    SealedColumn {
        row: "user_id::text",
        find: "user_id = found.row_key::uuid",
        ..bytes("pigeonhole.pending_verifications", "sealed_number")
    },
    SealedColumn {
        row: "user_id::text",
        find: "user_id = found.row_key::uuid",
        ..bytes("pigeonhole.pending_verifications", "sealed_code")
    },
    SealedColumn {
        row: "user_id::text || '/' || key_index",
        find: "user_id = split_part(found.row_key, '/', 1)::uuid and key_index = split_part(found.row_key, '/', 2)",
        ..bytes("pigeonhole.idempotency_keys", "sealed_body")
    },
    SealedColumn {
        value: "source_metadata ->> 'phone_number'",
        is_text: true,
        ..bytes("enrichment_items", "source_metadata.phone_number")
    },
];

/// The part of a table that is read when all of it takes too long, in percent.
const SAMPLE: f32 = 1.0;

/// Reads all columns with sealed values.
pub async fn seals(
    conn: &mut PgConnection,
    keyring: &Keyring,
) -> Result<Vec<ColumnSeals>, StoreError> {
    let mut all = Vec::new();
    for sealed in &COLUMNS {
        match of_column(conn, keyring, sealed, 100.0).await {
            Err(error) if took_too_long(&error) => {
                all.extend(of_column(conn, keyring, sealed, SAMPLE).await?);
            }
            seals => all.extend(seals?),
        }
    }
    Ok(all)
}

fn took_too_long(error: &StoreError) -> bool {
    matches!(error, StoreError::Database(error) if error.code().as_deref() == Some("57014"))
}

#[derive(sqlx::FromRow)]
struct SealedSample {
    key: Option<Vec<u8>>,
    n: i64,
    row_key: String,
    value: Vec<u8>,
}

async fn of_column(
    conn: &mut PgConnection,
    keyring: &Keyring,
    sealed: &SealedColumn,
    percent: f32,
) -> Result<Vec<ColumnSeals>, StoreError> {
    let SealedColumn {
        table,
        value,
        row,
        find,
        when,
        ..
    } = sealed;
    // The version, then the key's id. The first eight characters of a text are six bytes.
    let (key, shown) = if sealed.is_text {
        (
            format!(
                "case when left({value}, 8) ~ '^[A-Za-z0-9+/]{{8}}$' then substring(decode(left({value}, 8), 'base64') from 2 for 4) end"
            ),
            format!("convert_to({value}, 'UTF8')"),
        )
    } else {
        (
            format!("substring({value} from 2 for 4)"),
            (*value).to_owned(),
        )
    };
    // It consists of the constants above only.
    let query = AssertSqlSafe(format!(
        "with found as (
             select {key} as key, count(*) as n, min({row}) as row_key
             from {table} tablesample system ($1) where ({when}) and {value} is not null group by 1
         )
         select found.key, found.n, found.row_key, {shown} as value from found join {table} on {find}"
    ));
    // A transaction of its own, because it fails if it takes too long.
    let mut tx = begin(conn).await?;
    let rows: Vec<SealedSample> = sqlx::query_as(query)
        .bind(percent)
        .fetch_all(&mut *tx)
        .await?;
    tx.rollback().await?;
    let seals = rows.into_iter().map(|found| {
        let context = Context::new(sealed.table, sealed.column, &found.row_key);
        let value = if sealed.is_text {
            STANDARD.decode(&found.value).unwrap_or_default()
        } else {
            found.value
        };
        ColumnSeals {
            table: sealed.table,
            column: sealed.column,
            key: found.key.and_then(|id| id.try_into().ok()).map(KeyId),
            values: found.n,
            opens: keyring.open(&context, &value).is_ok(),
            whole: percent >= 100.0,
        }
    });
    Ok(seals.collect())
}

/// Returns how many rows of `user_phone_numbers` hold their number in clear.
pub async fn clear_numbers(conn: &mut PgConnection) -> Result<i64, StoreError> {
    let mut tx = begin(conn).await?;
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from user_phone_numbers
           where phone_number !~ '^[A-Za-z0-9_-]{20}$' or phone_number ~ '^[0-9]+$'"#,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(count)
}

/// Returns whether any recipient has opted out. The key of those rows cannot be known.
pub async fn has_opt_outs(conn: &mut PgConnection) -> Result<bool, StoreError> {
    let mut tx = begin(conn).await?;
    let exists =
        sqlx::query_scalar!(r#"select exists (select from pigeonhole.opt_outs) as "exists!""#)
            .fetch_one(&mut *tx)
            .await?;
    tx.rollback().await?;
    Ok(exists)
}
