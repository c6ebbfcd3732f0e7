//! The same statements, one message at a time: what a program costs Postgres that does for each message by itself what
//! ours does for many together. `pgbench` has no HTTP, no sealing and no signatures to do besides.

use std::{fs, process::Command};

use sqlx::PgPool;

use crate::rig::{Rig, USERS};

/// As many at a time.
const CLIENTS: u32 = 16;

/// Users, whose numbers stand in a form that the script can make.
pub(crate) async fn prepare(pool: &PgPool) {
    let rows = format!(
        "insert into users (id)
         select lpad(n::text, 32, '0')::uuid from generate_series(0, {USERS} - 1) as n;
         insert into user_phone_numbers (user_id, phone_number, encrypted_phone_number, verified)
         select lpad(n::text, 32, '0')::uuid, 'number-' || n, repeat('x', 60), true
         from generate_series(0, {USERS} - 1) as n;
         vacuum analyze"
    );
    for statement in rows.split(';') {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement).execute(pool).await.unwrap();
    }
}

/// Messages a second, from their receipt to their items, each step committed by itself as ours commits it.
pub(crate) fn run(rig: &Rig, sealed_bytes: i64, seconds: u64) -> f64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), script(sealed_bytes)).unwrap();
    let output = Command::new(rig.server.bin_dir().join("pgbench"))
        // The plans that our queue's sessions have.
        .env(
            "PGOPTIONS",
            "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off -c jit=off",
        )
        .args([
            "-n",
            "-M",
            "prepared",
            "-j",
            "2",
            "-c",
            &CLIENTS.to_string(),
        ])
        .args(["-D", "i=0", "-D", &format!("run={}", rand::random::<u16>())])
        .args(["-T", &seconds.to_string(), "-f"])
        .arg(file.path())
        .arg(&rig.pgbench_url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.unwrap_or_else(|| panic!("pgbench: {text}{errors}"));
    tps.split_whitespace().next().unwrap().parse().unwrap()
}

/// One message in, and one message, whichever is first, through all that the worker does. The last five characters of a
/// SID say whose message it is; our program reads that in the sealed fields.
fn script(sealed_bytes: i64) -> String {
    format!(
        r#"
\set i :i + 1
\set u random(0, {last})
select pigeonhole.accept(
    array['SM' || lpad(to_hex(:run::bigint), 4, '0') || lpad(to_hex(:client_id::bigint), 4, '0')
        || lpad(to_hex(:i::bigint), 19, '0') || lpad(:u::text, 5, '0')],
    array['AC0123456789abcdef0123456789abcdef'], array['number-' || :u::text],
    array[repeat('x', {sealed_bytes})::bytea], 'process_message', 12::smallint,
    array['{{"message":"SM' || lpad(to_hex(:run::bigint), 4, '0') || lpad(to_hex(:client_id::bigint), 4, '0')
        || lpad(to_hex(:i::bigint), 19, '0') || lpad(:u::text, 5, '0') || '"}}'],
    array['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01']);
{CLAIM}
select count(*) as opened from pigeonhole.open(array[:sid::text]) \gset
select count(*) as owners from pigeonhole.owners(array['number-' || :owner::text, '+1' || :owner::text]) \gset
select tat_ns as before, (extract(epoch from now) * 1000000)::bigint * 1000 as now_ns
    from queue.look(array['message:' || :owner::text]) \gset
select count(*) as changed from pigeonhole.keep_slots(array[:sid::text], array[clock_timestamp()],
    array['message:' || :owner::text], array['message:' || :owner::text], array[:before::bigint],
    array[greatest(:before::bigint, :now_ns::bigint) + 1000]) \gset
select count(*) as ended from pigeonhole.finish(array[:id::bigint], array[:claim::integer], array[:sid::text],
    array['processed'], array[lpad(:owner::text, 32, '0')::uuid], array['number-' || :owner::text || ' +1' || :owner::text],
    array['rules'], array[null::text],
    array[jsonb_build_array({note}, {tag})]) \gset
"#,
        last = USERS - 1,
        note = item("field", "'notes'"),
        tag = item("tag", "null"),
    )
}

/// The queue's own, for one job. Nobody has paused anything, and its lease is 30 s.
const CLAIM: &str = r"
update queue.jobs as j
set ready = false, run_at = now() + make_interval(secs => 30), claimed_at = now(),
    claim = j.claim + 1, attempts = j.attempts + 1, locked_by = 'pgbench'
where j.ctid = any(array(
    select ready.ctid
    from unnest(array['process_message'], array[1::bigint], array[null::timestamptz]) as wanted(kind, slots, floor),
    lateral (
        select ctid from queue.jobs
        where ready and kind = wanted.kind and position >= coalesce(wanted.floor, '-infinity')
        order by position, id limit wanted.slots for update skip locked
    ) as ready
    where wanted.slots > 0 and not exists (select from queue.paused where paused.kind = wanted.kind)
))
returning j.id, j.claim, j.args ->> 'message' as sid, right(j.args ->> 'message', 5)::int as owner \gset";

fn item(item_type: &str, field_name: &str) -> String {
    let value =
        "Met Ana at #RustConf: she builds databases, likes long walks, and is in town until Friday";
    format!(
        "jsonb_build_object('id', gen_random_uuid(), 'item_type', '{item_type}', 'field_name', {field_name}::text,
            'value', '{value}', 'source', 'sms', 'source_metadata', jsonb_build_object(
                'phone_number', repeat('x', 60), 'message_sid', :sid::text, 'original_message', '{value}'))"
    )
}
