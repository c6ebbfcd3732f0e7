//! Measures a pipeline without batches: `pgbench` handles one message at a time. It needs no HTTP,
//! no sealing and no signatures.
//!
//! There are two programs. The first calls our functions, which are made for batches, with one
//! message each. The second changes the same rows with plain statements in three transactions after
//! the claim, as a simple worker would. The second one is faster, so we compare ourselves with it.

use std::{fs, process::Command};

use sqlx::PgPool;

use crate::harness::{PipelineHarness, USERS};

/// The number of `pgbench` clients.
const CLIENTS: u32 = 16;

/// The number of users. Their stored numbers have a form that the script can compute.
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

/// How the program handles a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PgbenchProgram {
    /// With plain statements.
    Plain,
    /// With our functions.
    Functions,
}

/// Returns the messages per second, from webhook to items.
pub(crate) fn run(
    harness: &PipelineHarness,
    program: PgbenchProgram,
    sealed_bytes: i64,
    seconds: u64,
) -> f64 {
    let rest = match program {
        PgbenchProgram::Plain => plain(),
        PgbenchProgram::Functions => functions(),
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        format!("{}{CLAIM}\n{rest}", accept(sealed_bytes)),
    )
    .unwrap();
    let output = Command::new(harness.server.postgres.bin_dir().join("pgbench"))
        // The planner settings of our queue's sessions.
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
        .arg(&harness.pgbench_url)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.unwrap_or_else(|| panic!("pgbench: {text}{errors}"));
    tps.split_whitespace().next().unwrap().parse().unwrap()
}

/// The script inserts one message, then does all of a worker's statements for the first message in
/// the queue. The last five characters of a SID name its user; our program reads the user from the
/// sealed fields.
fn accept(sealed_bytes: i64) -> String {
    let sid =
        "'SM' || lpad(to_hex(:run::bigint), 4, '0') || lpad(to_hex(:client_id::bigint), 4, '0')
        || lpad(to_hex(:i::bigint), 19, '0') || lpad(:u::text, 5, '0')";
    format!(
        r#"
\set i :i + 1
\set u random(0, {last})
select pigeonhole.accept_messages(
    array[{sid}], array['AC0123456789abcdef0123456789abcdef'], array['number-' || :u::text],
    array[repeat('x', {sealed_bytes})::bytea], 'process_message', 12::smallint,
    array['{{"message":"' || {sid} || '"}}'], array['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01']);
"#,
        last = USERS - 1,
    )
}

fn functions() -> String {
    format!(
        r"
select count(*) as opened from pigeonhole.open_messages(array[:sid::text]) \gset
select count(*) as owners from pigeonhole.users_by_number(array['number-' || :owner::text, '+1' || :owner::text]) \gset
select tat_ns as before, (extract(epoch from now) * 1000000)::bigint * 1000 as now_ns
    from queue.read_rate_limits(array['message:' || :owner::text]) \gset
select count(*) as changed from pigeonhole.reserve_starts(array[:sid::text], array[clock_timestamp()],
    array['message:' || :owner::text], array['message:' || :owner::text], array[:before::bigint],
    array[greatest(:before::bigint, :now_ns::bigint) + 1000]) \gset
select count(*) as ended from pigeonhole.finish_messages(array[:id::bigint], array[:claim::integer], array[:sid::text],
    array['processed'], array[lpad(:owner::text, 32, '0')::uuid],
    array['number-' || :owner::text || ' +1' || :owner::text], array['rules'], array[null::text],
    array[jsonb_build_array({note}, {tag})]) \gset
",
        note = item("field", "'notes'", TEXT),
        tag = item("tag", "null", "RustConf"),
    )
}

fn plain() -> String {
    format!(
        r"
begin;
select state, sealed from pigeonhole.inbound_messages where message_sid = :sid::text \gset
select user_id from user_phone_numbers
    where phone_number in ('number-' || :owner::text, '+1' || :owner::text) and verified
    order by created_at desc limit 1 \gset
insert into queue.rate_limits as limits (key, tat_ns)
    values ('message:' || :owner::text, (extract(epoch from clock_timestamp()) * 1000000)::bigint * 1000 + 1000)
    on conflict (key) do update set tat_ns = greatest(limits.tat_ns, excluded.tat_ns) + 1000;
update pigeonhole.inbound_messages set reserved_for = clock_timestamp(), opened_at = clock_timestamp()
    where message_sid = :sid::text and reserved_for is null;
commit;
begin;
select id from users where id = :user_id::uuid for key share \gset locked_
select id from user_phone_numbers where user_id = :user_id::uuid and verified
    and phone_number in ('number-' || :owner::text, '+1' || :owner::text) for share \gset number_
insert into enrichment_items
    (id, user_id, item_type, action, field_name, value, accepted, applied, status, source, source_metadata)
    values (gen_random_uuid(), :user_id::uuid, 'field', 'add', 'notes', '{TEXT}', false, false, 'pending', 'sms', {metadata}),
        (gen_random_uuid(), :user_id::uuid, 'tag', 'add', null, 'RustConf', false, false, 'pending', 'sms', {metadata})
    on conflict (id) do nothing;
update pigeonhole.inbound_messages
    set state = 'processed', finished_at = clock_timestamp(), user_id = :user_id::uuid, extracted_by = 'rules', items = 2
    where message_sid = :sid::text and state = 'received';
delete from queue.jobs where id = :id::bigint and claim = :claim::integer;
commit;
",
        metadata = metadata(),
    )
}

/// The queue's own statement, for one job. No kind is paused, and the lease is 30 s.
const CLAIM: &str = r"
update queue.jobs as j
set ready = false, run_at = now() + make_interval(secs => 30), claimed_at = now(),
    claim = j.claim + 1, attempts = j.attempts + 1, locked_by = 'pgbench'
where j.ctid = any(array(
    select ready.ctid
    from unnest(array['process_message'], array[1::bigint], array[null::timestamptz]) as wanted(kind, permits, floor),
    lateral (
        select ctid from queue.jobs
        where ready and kind = wanted.kind and position >= coalesce(wanted.floor, '-infinity')
        order by position, id limit wanted.permits for update skip locked
    ) as ready
    where wanted.permits > 0 and not exists (select from queue.paused where paused.kind = wanted.kind)
))
returning j.id, j.claim, j.args ->> 'message' as sid, right(j.args ->> 'message', 5)::int as owner \gset";

const TEXT: &str =
    "Met Ana at #RustConf: she builds databases, likes long walks, and is in town until Friday";

fn metadata() -> String {
    format!(
        "jsonb_build_object('phone_number', repeat('x', 60), 'message_sid', :sid::text, 'original_message', '{TEXT}')"
    )
}

fn item(item_type: &str, field_name: &str, value: &str) -> String {
    format!(
        "jsonb_build_object('id', gen_random_uuid(), 'item_type', '{item_type}', 'field_name', {field_name}::text,
            'value', '{value}', 'source', 'sms', 'source_metadata', {})",
        metadata()
    )
}
