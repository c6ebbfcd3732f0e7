use store::{is_current, migrate};

use crate::support::{APP, APP_STATUS, Db};

const APP_TABLES: [&str; 5] = [
    "users",
    "contacts",
    "voice_notes",
    "user_phone_numbers",
    "enrichment_items",
];

/// Everything there is, data and definitions, in every schema but Postgres's own.
const DEFINITIONS: &str = "
    select string_agg(line, E'\\n' order by line) from (
        select format('column %s %s %s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod),
            attnotnull, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum)) as line, attrelid as rel
        from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where attnum > 0 and not attisdropped
        union all select format('index %s', pg_get_indexdef(indexrelid)), indrelid from pg_index
        union all select format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid)), conrelid
            from pg_constraint
        union all select format('trigger %s %s', tgenabled, pg_get_triggerdef(oid)), tgrelid
            from pg_trigger where not tgisinternal
    ) t join pg_class c on c.oid = rel
    where relnamespace in (select oid from pg_namespace where nspname !~ '^(pg_|information_schema)')";

async fn everything(db: &mut Db) -> String {
    let mut all = db.text(DEFINITIONS).await;
    for table in APP_TABLES
        .into_iter()
        .chain(["pigeonhole._sqlx_migrations"])
    {
        if db
            .text(&format!(
                "select (to_regclass('{table}') is not null)::text"
            ))
            .await
            == "true"
        {
            all.push_str(&db.dump(table).await);
        }
    }
    all
}

/// The app's rows, by the columns they had before.
async fn rows(db: &mut Db, columns: &[String]) -> Vec<String> {
    let mut rows = Vec::new();
    for (table, columns) in APP_TABLES.iter().zip(columns) {
        rows.push(db.dump(&format!("(select {columns} from {table})")).await);
    }
    rows
}

async fn columns(db: &mut Db) -> Vec<String> {
    let mut columns = Vec::new();
    for table in APP_TABLES {
        let sql = format!(
            "select string_agg(attname, ', ' order by attnum) from pg_attribute
             where attrelid = '{table}'::regclass and attnum > 0"
        );
        columns.push(db.text(&sql).await);
    }
    columns
}

#[tokio::test]
async fn an_empty_database_becomes_current_and_stays_as_it_is() {
    let mut db = Db::empty().await;
    assert!(!is_current(&mut db).await.unwrap());
    migrate(&db.pool).await.unwrap();
    assert!(is_current(&mut db).await.unwrap());
    let before = everything(&mut db).await;
    assert!(before.contains("touch_updated_at") && before.contains("idx_user_phone_numbers_phone"));
    migrate(&db.pool).await.unwrap();
    assert_eq!(everything(&mut db).await, before);
}

#[tokio::test]
async fn a_database_of_the_app_keeps_every_row_column_and_trigger() {
    for variant in [&[APP][..], &[APP, APP_STATUS]] {
        let mut db = Db::app(variant).await;
        let columns = columns(&mut db).await;
        let rows_before = rows(&mut db, &columns).await;
        let definitions_before = db.text(DEFINITIONS).await;
        assert!(rows_before[3].contains("+15555550123"));

        migrate(&db.pool).await.unwrap();
        assert!(is_current(&mut db).await.unwrap());
        assert_eq!(rows(&mut db, &columns).await, rows_before);
        let definitions = db.text(DEFINITIONS).await;
        for line in definitions_before.lines().map(str::trim_end) {
            assert!(
                definitions.contains(line),
                "{line} is gone from\n{definitions}"
            );
        }
        assert!(
            !definitions.contains("touch_updated_at"),
            "the app's own trigger does that"
        );
        assert!(
            definitions
                .contains("column enrichment_items status character varying(30) f 'pending'")
        );

        let before = everything(&mut db).await;
        migrate(&db.pool).await.unwrap();
        assert_eq!(everything(&mut db).await, before);
    }
}

#[tokio::test]
async fn our_trigger_and_the_apps_both_keep_updated_at() {
    for variant in [&[][..], &[APP]] {
        let mut db = Db::app(variant).await;
        migrate(&db.pool).await.unwrap();
        if variant.is_empty() {
            db.run(
                "insert into users default values;
                 insert into user_phone_numbers (user_id, phone_number, encrypted_phone_number)
                 select id, 'index', 'sealed' from users",
            )
            .await;
        }
        db.run("update user_phone_numbers set updated_at = '2001-01-01'")
            .await;
        let stale = "select count(*)::text from user_phone_numbers where updated_at < '2002-01-01'";
        assert_eq!(db.text(stale).await, "0");
    }
}

#[tokio::test]
async fn the_migration_of_the_apps_tables_does_no_harm_if_its_bookkeeping_is_lost() {
    let mut db = Db::app(&[APP]).await;
    migrate(&db.pool).await.unwrap();
    let before = everything(&mut db).await;
    db.run(&format!(
        "begin; {}; commit",
        include_str!("../../../../migrations/0001_app_tables.sql")
    ))
    .await;
    assert_eq!(everything(&mut db).await, before);
}

#[tokio::test]
async fn several_processes_may_migrate_at_once() {
    let mut db = Db::app(&[APP]).await;
    let pool = &db.pool;
    let (a, b, c) = tokio::join!(migrate(pool), migrate(pool), migrate(pool));
    a.and(b).and(c).unwrap();
    assert!(is_current(&mut db).await.unwrap());
}

#[tokio::test]
async fn a_database_that_lacks_a_migration_is_not_current_and_one_with_a_newer_one_is() {
    let mut db = Db::migrated().await;
    assert!(is_current(&mut db).await.unwrap());
    db.run(
        "insert into pigeonhole._sqlx_migrations (version, description, success, checksum, execution_time)
         values (99999, 'from the future', true, '', 0)",
    )
    .await;
    assert!(is_current(&mut db).await.unwrap());
    db.run("delete from pigeonhole._sqlx_migrations where version = 2")
        .await;
    assert!(!is_current(&mut db).await.unwrap());
}
