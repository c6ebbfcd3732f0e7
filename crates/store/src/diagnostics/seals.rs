//! Which keys what is sealed needs, and whether the keys that we have open it.

use base64::{Engine, engine::general_purpose::STANDARD};
use sqlx::{AssertSqlSafe, PgConnection};

use super::begin;
use crate::error::StoreError;
use crate::keyring::{KeyId, Keyring};
use crate::sealed::Context;

/// The values of a column that are sealed under one key.
#[derive(Debug, Clone)]
pub struct Seals {
    /// The table.
    pub table: &'static str,
    /// The column; with the key, inside of a JSON column.
    pub column: &'static str,
    /// The key; `None` if a value is not of the form in which values are sealed.
    pub key: Option<KeyId>,
    /// How many there are, or were in the part that was looked at.
    pub values: i64,
    /// One of them opens.
    pub opens: bool,
    /// All rows were looked at. If not, there may be more, under other keys, too.
    pub whole: bool,
}

/// A column with sealed values.
struct Place {
    table: &'static str,
    column: &'static str,
    /// The sealed bytes, or their base64 if it is a text.
    value: &'static str,
    is_text: bool,
    /// What the value is bound to, as an expression.
    row: &'static str,
    /// The row for such a text, as a condition.
    find: &'static str,
    /// Rows that hold such a value.
    when: &'static str,
}

const fn bytes(table: &'static str, column: &'static str) -> Place {
    Place {
        table,
        column,
        value: column,
        is_text: false,
        row: "id::text",
        find: "id = found.row_key::uuid",
        when: "true",
    }
}

const PLACES: [Place; 8] = [
    Place {
        value: "encrypted_phone_number",
        is_text: true,
        // Others are the app's, in its own form.
        when: "phone_number ~ '^[A-Za-z0-9_-]{20}$' and phone_number !~ '^[0-9]+$'",
        ..bytes("user_phone_numbers", "encrypted_phone_number")
    },
    Place {
        row: "message_sid",
        find: "message_sid = found.row_key",
        ..bytes("pigeonhole.inbound_messages", "sealed")
    },
    bytes("pigeonhole.sends", "sealed"),
    bytes("pigeonhole.media", "sealed_key"),
    Place {
        row: "user_id::text",
        find: "user_id = found.row_key::uuid",
        ..bytes("pigeonhole.pending_verifications", "sealed_number")
    },
    Place {
        row: "user_id::text",
        find: "user_id = found.row_key::uuid",
        ..bytes("pigeonhole.pending_verifications", "sealed_code")
    },
    Place {
        row: "user_id::text || '/' || key_index",
        find: "user_id = split_part(found.row_key, '/', 1)::uuid and key_index = split_part(found.row_key, '/', 2)",
        ..bytes("pigeonhole.idempotency_keys", "sealed_body")
    },
    Place {
        value: "source_metadata ->> 'phone_number'",
        is_text: true,
        ..bytes("enrichment_items", "source_metadata.phone_number")
    },
];

/// What part of a table is looked at when all of it would take too long, in percent.
const SAMPLE: f32 = 1.0;

/// Looks through all columns with sealed values.
pub async fn seals(conn: &mut PgConnection, keyring: &Keyring) -> Result<Vec<Seals>, StoreError> {
    let mut all = Vec::new();
    for place in &PLACES {
        match of_column(conn, keyring, place, 100.0).await {
            Err(error) if took_too_long(&error) => {
                all.extend(of_column(conn, keyring, place, SAMPLE).await?);
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
struct Found {
    key: Option<Vec<u8>>,
    n: i64,
    row_key: String,
    value: Vec<u8>,
}

async fn of_column(
    conn: &mut PgConnection,
    keyring: &Keyring,
    place: &Place,
    percent: f32,
) -> Result<Vec<Seals>, StoreError> {
    let Place {
        table,
        value,
        row,
        find,
        when,
        ..
    } = place;
    // Version, then the key's id: of a text, the first eight characters are six bytes.
    let (key, shown) = if place.is_text {
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
    // Made of the constants above, and of nothing else.
    let query = AssertSqlSafe(format!(
        "with found as (
             select {key} as key, count(*) as n, min({row}) as row_key
             from {table} tablesample system ($1) where ({when}) and {value} is not null group by 1
         )
         select found.key, found.n, found.row_key, {shown} as value from found join {table} on {find}"
    ));
    // Of its own, as it is over if it takes too long.
    let mut tx = begin(conn).await?;
    let rows: Vec<Found> = sqlx::query_as(query)
        .bind(percent)
        .fetch_all(&mut *tx)
        .await?;
    tx.rollback().await?;
    let seals = rows.into_iter().map(|found| {
        let context = Context::new(place.table, place.column, &found.row_key);
        let sealed = if place.is_text {
            STANDARD.decode(&found.value).unwrap_or_default()
        } else {
            found.value
        };
        Seals {
            table: place.table,
            column: place.column,
            key: found.key.and_then(|id| id.try_into().ok()).map(KeyId),
            values: found.n,
            opens: keyring.open(&context, &sealed).is_ok(),
            whole: percent >= 100.0,
        }
    });
    Ok(seals.collect())
}

/// How many rows of `user_phone_numbers` hold their number in clear.
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

/// Has anybody told us to stop? Under which key they are kept, nobody can see.
pub async fn has_opt_outs(conn: &mut PgConnection) -> Result<bool, StoreError> {
    let mut tx = begin(conn).await?;
    let exists =
        sqlx::query_scalar!(r#"select exists (select from pigeonhole.opt_outs) as "exists!""#)
            .fetch_one(&mut *tx)
            .await?;
    tx.rollback().await?;
    Ok(exists)
}
