//! Postgres triggers record every change to `queue.jobs`: the claim and the process that made it.
//! An entry commits or rolls back with its change, so the effect log is the complete history of
//! every job.

use std::fmt::Write as _;

use sqlx::{Executor, PgPool, types::chrono::DateTime, types::chrono::Utc};

use crate::{
    database::Database,
    settings::ProgramSettings,
    wait::{PATIENCE, eventually},
};

/// The test installs its own triggers. A deletion that finds no row was refused by the fence. A
/// sequence counts these, because it survives the rollback that follows.
const TABLES_AND_TRIGGERS: &str = "
    create schema effect_log;
    create sequence effect_log.refused;
    create table effect_log.entries (
        seq bigint generated always as identity primary key,
        at timestamptz not null default clock_timestamp(),
        process text not null default coalesce(current_setting('chaos.process', true), ''),
        job bigint not null, kind text not null, what text not null, claim int not null, attempts smallint not null
    );
    create index on effect_log.entries (job, seq);
    create index on effect_log.entries (process, seq) where what = 'claimed';

    create function effect_log.note() returns trigger language plpgsql as $$
    declare
        job queue.jobs := case when tg_op = 'DELETE' then old else new end;
        what text;
    begin
        if tg_op = 'INSERT' then
            what := 'enqueued';
        elsif tg_op = 'DELETE' then
            what := 'ended';
        elsif new.claim = old.claim + 1 and old.ready and not new.ready and new.locked_by is not null then
            what := 'claimed';
        elsif new.claim = old.claim + 1 and new.locked_by is null then
            -- Also once its lease has run out: until another claims it, the claim is still the last one.
            what := 'put back';
            job.claim := old.claim;
        elsif new.claim = old.claim and not old.ready and new.ready and old.run_at <= now() then
            what := case when old.locked_by is null then 'due' else 'orphaned' end;
        elsif new.claim = old.claim and not old.ready and not new.ready and new.run_at > old.run_at then
            what := 'renewed';
        else
            what := 'no transition';
        end if;
        insert into effect_log.entries (job, kind, what, claim, attempts)
        values (job.id, job.kind, what, job.claim, job.attempts);
        return null;
    end $$;
    create trigger note after insert or update or delete on queue.jobs for each row execute function effect_log.note();

    create function effect_log.note_refused() returns trigger language plpgsql as $$
    begin
        if not exists (select from found) then
            perform nextval('effect_log.refused');
        end if;
        return null;
    end $$;
    create trigger note_refused after delete on queue.jobs referencing old table as found
        for each statement execute function effect_log.note_refused();";

/// The entries that must not exist. Every write of a claim's holder must be under the job's last
/// claim, and by the process that made this claim.
const WRONG: &str = "
    select entry.seq, entry.job, entry.what, entry.claim, entry.process, last.claim, last.process
    from (select *, lag(what) over (partition by job order by seq) as before from effect_log.entries) as entry
    left join lateral (
        select claim, process from effect_log.entries as earlier
        where earlier.job = entry.job and earlier.seq < entry.seq and earlier.what = 'claimed'
        order by seq desc limit 1
    ) as last on true
    where entry.what = 'no transition'
        or entry.what in ('ended', 'put back', 'renewed')
            and (entry.claim, entry.process) is distinct from (last.claim, last.process)
        or entry.what = 'claimed' and entry.claim <= last.claim
        or entry.what = 'enqueued' and entry.before is not null
        or entry.before = 'ended'
    order by entry.seq limit 20";

/// Sequence number, job, event, its claim and process, and the last claim with its process.
type WrongEffect = (i64, i64, String, i32, String, Option<i32>, Option<String>);

/// Totals over the jobs of the messages.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(super) struct EffectTotals {
    pub(super) jobs: i64,
    /// The number of jobs that have ended.
    pub(super) ended: i64,
    pub(super) claims: i64,
    /// The number of claims that ended without ending the job: the job was returned or is to be
    /// retried.
    pub(super) put_back: i64,
    /// The number of claims whose lease expired.
    pub(super) orphaned: i64,
    /// The highest attempt count of any job.
    pub(super) most_attempts: i16,
    /// The longest time in seconds without an event for a job that a worker had claimed or should
    /// have claimed: between becoming ready, claims, renewals and its end.
    pub(super) longest_silence: f64,
    /// Late writes that the fence refused. After a crash of Postgres a sequence may be too high by
    /// up to 32.
    pub(super) refused: i64,
}

/// The effect log of one database.
pub(super) struct EffectLog {
    pool: PgPool,
}

impl EffectLog {
    pub(super) async fn open(database: &Database) -> Self {
        let pool = database.pool.clone();
        pool.execute(sqlx::raw_sql(TABLES_AND_TRIGGERS))
            .await
            .unwrap();
        Self { pool }
    }

    /// Settings under which the effect log records a process by this name.
    pub(super) fn known_as(settings: &ProgramSettings, process: &str) -> ProgramSettings {
        let url = settings.get("DATABASE_URL");
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}options[chaos.process]={process}");
        settings.clone().with("DATABASE_URL", url)
    }

    /// The sequence number of the last entry.
    pub(super) async fn end(&self) -> i64 {
        sqlx::query_scalar("select coalesce(max(seq), 0) from effect_log.entries")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Waits until the process claims a job after this entry of the effect log.
    pub(super) async fn claims_again(&self, process: &str, later_than: i64) {
        let what = format!("{process} claims a job");
        eventually(&what, PATIENCE, async || {
            let claimed: bool = sqlx::query_scalar(
                "select exists (select from effect_log.entries where what = 'claimed' and process = $1 and seq > $2)",
            )
            .bind(process)
            .bind(later_than)
            .fetch_one(&self.pool)
            .await
            .unwrap();
            claimed.then_some(())
        })
        .await;
    }

    /// The current time by the database's clock.
    pub(super) async fn now(&self) -> DateTime<Utc> {
        sqlx::query_scalar("select clock_timestamp()")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// The number of jobs that existed at that time and still exist.
    pub(super) async fn left_since(&self, then: DateTime<Utc>) -> i64 {
        sqlx::query_scalar("select count(*) from queue.jobs where created_at <= $1")
            .bind(then)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// The first of these jobs, with their histories.
    pub(super) async fn describe_left_since(&self, then: DateTime<Utc>) -> String {
        let jobs: Vec<(i64, String)> = sqlx::query_as(
            "select id, format('ready %s, run_at %s ago, locked by %s', ready, now() - run_at, locked_by)
             from queue.jobs where created_at <= $1 order by id limit 5",
        )
        .bind(then)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let mut text = String::new();
        for (job, row) in jobs {
            let history = self.history(job).await;
            writeln!(text, "job {job}: {row}\n{history}").unwrap();
        }
        text
    }

    async fn history(&self, job: i64) -> String {
        let lines: Vec<String> = sqlx::query_scalar(
            "select format('    %s ago: %s under claim %s, attempts %s, by %s', now() - at, what, claim, attempts, process)
             from effect_log.entries where job = $1 order by seq",
        )
        .bind(job)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        lines.join("\n")
    }

    /// Proves from the effect log that every write to a job was under the job's last claim, and
    /// that every job has ended exactly once.
    pub(super) async fn verify(&self) -> EffectTotals {
        let wrong = self.wrong().await;
        if let Some((_, job, ..)) = wrong.first() {
            panic!(
                "{wrong:#?}\nthe first one's history:\n{}",
                self.history(*job).await
            );
        }
        let account: EffectTotals = sqlx::query_as(
            "select count(*) filter (where what = 'enqueued') as jobs,
                count(*) filter (where what = 'ended') as ended,
                count(*) filter (where what = 'claimed') as claims,
                count(*) filter (where what = 'put back') as put_back,
                count(*) filter (where what = 'orphaned') as orphaned,
                coalesce(max(attempts), 0::smallint) as most_attempts,
                (select coalesce(extract(epoch from max(silence)), 0)::float8 from (
                    select at - lag(at) over (partition by job order by seq) as silence
                    from effect_log.entries where what <> 'orphaned'
                ) as entry) as longest_silence,
                (select case when is_called then last_value else 0 end from effect_log.refused) as refused
             from effect_log.entries where kind = 'process_message'",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap();
        // `WRONG` allows no event after an end, so each job has ended exactly once.
        assert_eq!(account.ended, account.jobs);
        account
    }

    async fn wrong(&self) -> Vec<WrongEffect> {
        sqlx::query_as(WRONG).fetch_all(&self.pool).await.unwrap()
    }
}

/// Proves that the effect log detects a wrong write.
#[tokio::test]
async fn the_effect_log_detects_a_write_under_an_older_claim() {
    let database = Database::create().await;
    let effect_log = EffectLog::open(&database).await;
    let claim = "update queue.jobs set ready = false, claim = claim + 1, attempts = attempts + 1, \
                 locked_by = 'w', run_at = now()";
    let orphan = "update queue.jobs set ready = true, locked_by = null";
    let end_by_id_alone = "delete from queue.jobs";
    database
        .pool
        .execute("insert into queue.jobs (kind, max_attempts, args) values ('process_message', 12, '{}')")
        .await
        .unwrap();
    for (process, statement) in [
        ("one", claim),
        ("one", orphan),
        ("two", claim),
        ("one", "delete from queue.jobs where claim = 1"),
    ] {
        as_process(&database, process, statement).await;
    }
    assert_eq!(
        effect_log.wrong().await,
        [],
        "the fence refused the late deletion"
    );
    as_process(&database, "one", end_by_id_alone).await;
    let wrong = effect_log.wrong().await;
    let [(_, _, what, 2, process, Some(2), Some(holder))] = &wrong[..] else {
        panic!("{wrong:?}");
    };
    assert_eq!(
        (what.as_str(), process.as_str(), holder.as_str()),
        ("ended", "one", "two")
    );
    let refused: i64 = sqlx::query_scalar("select last_value from effect_log.refused")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(refused, 1);
}

async fn as_process(database: &Database, process: &str, statement: &'static str) {
    let mut tx = database.pool.begin().await.unwrap();
    sqlx::query("select set_config('chaos.process', $1, true)")
        .bind(process)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.execute(statement).await.unwrap();
    tx.commit().await.unwrap();
}
