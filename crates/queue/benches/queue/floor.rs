//! What Postgres itself allows: `pgbench` with the bare inserts and deletes, on the same server in
//! the same run.

use std::{fs, process::Command};

use crate::setup::{BenchDatabase, PAYLOAD};

/// Makes the floor's own table, with the one index that any queue needs.
pub(crate) async fn prepare(bench: &BenchDatabase) {
    let table = "create table if not exists floor (
        id bigint generated always as identity primary key,
        run_at timestamptz not null default now(), kind text not null, args json not null)";
    sqlx::query(table).execute(&bench.pool).await.unwrap();
    sqlx::query("create index if not exists floor_due on floor (kind, run_at, id)")
        .execute(&bench.pool)
        .await
        .unwrap();
}

/// Single-row inserts a second, each committed by itself.
pub(crate) fn inserts(bench: &BenchDatabase, clients: u32, seconds: u32) -> f64 {
    let payload = "x".repeat(PAYLOAD);
    let script = format!(
        "insert into floor (kind, args) values ('no_op', '{{\"payload\":\"{payload}\"}}');\n"
    );
    pgbench(bench, &script, clients, seconds)
}

/// Rows a second that are claimed and deleted by the barest queue there is: delete in batches of
/// 500, returning.
pub(crate) fn deletes(bench: &BenchDatabase, rows: u32) -> f64 {
    let script = "with gone as (delete from floor where id = any(array(
        select id from floor where kind = 'no_op' and run_at <= now() order by run_at, id limit 500
        for update skip locked)) returning args) select count(*) from gone;\n";
    let transactions = rows.div_ceil(500);
    pgbench_counted(bench, script, transactions) * 500.0
}

fn pgbench(bench: &BenchDatabase, script: &str, clients: u32, seconds: u32) -> f64 {
    run(
        bench,
        script,
        &[
            "-c",
            &clients.to_string(),
            "-j",
            "2",
            "-T",
            &seconds.to_string(),
        ],
    )
}

fn pgbench_counted(bench: &BenchDatabase, script: &str, transactions: u32) -> f64 {
    run(bench, script, &["-c", "1", "-t", &transactions.to_string()])
}

fn run(bench: &BenchDatabase, script: &str, arguments: &[&str]) -> f64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), script).unwrap();
    let output = Command::new(bench.server.bin_dir().join("pgbench"))
        .args(["-n", "-M", "prepared", "-f"])
        .arg(file.path())
        .args(arguments)
        .arg(&bench.url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))
        .unwrap_or_else(|| {
            panic!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr));
        });
    tps.split_whitespace().next().unwrap().parse().unwrap()
}
