//! A queue of its own for each test, and ways to look into it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use embedded_postgres::{apply_migrations, testing::TestDatabase};
use queue::{Job, JobArgs, JobId, NewJob, Runner, RunnerDied, RunnerSettings};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::script::World;

/// The time limit of every wait. Only a failing test waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What the tests need beside the queue's own tables. `given_back` is what the statement that gave
/// a job back wrote: its delay by the clock of that very transaction.
const TABLES: &str = "
    create table effects (key text not null, at timestamptz not null default clock_timestamp());
    create table starts (key text not null, attempt int not null);
    create table given_back (n bigint generated always as identity, id bigint, attempts smallint, delay float8,
        due timestamptz);
    create function note_given_back() returns trigger language plpgsql as $$
        begin
            insert into given_back (id, attempts, delay, due)
            values (new.id, new.attempts, extract(epoch from new.run_at - now()), new.run_at);
            return null;
        end $$;
    create trigger note_given_back after update on queue.jobs for each row
        when (old.locked_by is not null and new.locked_by is null) execute function note_given_back();
";

/// Makes the queue's tables and those of the tests.
pub(crate) async fn prepare(pool: &PgPool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    apply_migrations(pool, &folder).await.unwrap();
    sqlx::raw_sql(TABLES).execute(pool).await.unwrap();
}

/// A test's queue.
pub(crate) struct TestQueue {
    url: String,
    /// The test's own connections, which no test cuts.
    pub(crate) pool: PgPool,
    pub(crate) world: World,
}

impl TestQueue {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::prepared("queue", prepare).await;
        Self::at(database.url()).await
    }

    /// On a database that is prepared already.
    pub(crate) async fn at(url: String) -> Self {
        let pool = connect(&url, "test", 4).await;
        let world = World::new(connect(&url, "worker", 8).await, false);
        Self { url, pool, world }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A runner without kinds, on as few connections as it says it needs.
    pub(crate) async fn runner(&self, settings: RunnerSettings) -> Runner {
        Runner::new(connect(&self.url, "worker", 3).await, settings)
    }

    /// A running runner of one kind.
    pub(crate) async fn run<J: Job<World>>(
        &self,
        settings: RunnerSettings,
        concurrency: usize,
    ) -> Running {
        let runner = self.runner(settings).await;
        Running::start(runner.register::<J, _>(self.world.clone(), concurrency))
    }

    pub(crate) async fn enqueue(&self, job: impl JobArgs) -> JobId {
        let mut conn = self.pool.acquire().await.unwrap();
        queue::enqueue(&mut conn, &job).await.unwrap()
    }

    pub(crate) async fn enqueue_all<J: JobArgs>(&self, jobs: impl IntoIterator<Item = J>) {
        let mut tx = self.pool.begin().await.unwrap();
        for job in jobs {
            queue::enqueue(&mut tx, &job).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// Enqueues these in one statement and transaction. Returns the numbers of those that are not
    /// duplicates.
    pub(crate) async fn enqueue_new(&self, jobs: &[NewJob]) -> Vec<Option<JobId>> {
        let mut tx = self.pool.begin().await.unwrap();
        let ids = queue::enqueue_all(&mut tx, jobs).await.unwrap();
        tx.commit().await.unwrap();
        ids
    }

    /// The number that a statement returns.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn waiting(&self) -> i64 {
        self.number("select count(*) from queue.jobs").await
    }

    pub(crate) async fn dead(&self) -> i64 {
        self.number("select count(*) from queue.dead_jobs").await
    }

    pub(crate) async fn effects(&self) -> Vec<String> {
        sqlx::query_scalar("select key from effects order by key")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn until_empty(&self) {
        until("the queue is empty", async || self.waiting().await == 0).await;
    }

    pub(crate) async fn row(&self, id: JobId) -> Option<Row> {
        sqlx::query_as(
            "select attempts, claim, ready, locked_by, errors -> -1 ->> 'error' as last_error,
                    extract(epoch from run_at - now())::float8 as due_in
             from queue.jobs where id = $1",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await
        .unwrap()
    }

    /// The attempts and delays, in seconds, with which this job was given back so far.
    pub(crate) async fn given_back(&self, id: JobId) -> Vec<(i16, f64)> {
        sqlx::query_as("select attempts, delay from given_back where id = $1 order by n")
            .bind(id)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// The dead letter of this job: reason, attempts, last error.
    pub(crate) async fn dead_letter(&self, id: JobId) -> Option<(String, i16, String)> {
        sqlx::query_as("select reason, attempts, last_error from queue.dead_jobs where id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn until_dead(&self, id: JobId) -> (String, i16, String) {
        until("the job is a dead letter", async || {
            self.dead_letter(id).await.is_some()
        })
        .await;
        self.dead_letter(id).await.unwrap()
    }

    /// Asserts that exactly these keys have had their effect, each once, and that nothing is left.
    pub(crate) async fn assert_all_had_their_effect_once(&self, mut keys: Vec<String>) {
        keys.sort_unstable();
        let mut effects = self.effects().await;
        effects.sort_unstable();
        assert_eq!(effects, keys);
        assert_eq!((self.waiting().await, self.dead().await), (0, 0));
    }
}

/// A row of `queue.jobs`.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub(crate) struct Row {
    pub(crate) attempts: i16,
    pub(crate) claim: i32,
    pub(crate) ready: bool,
    pub(crate) locked_by: Option<String>,
    pub(crate) last_error: Option<String>,
    /// In seconds, by the database's clock.
    pub(crate) due_in: f64,
}

pub(crate) async fn connect(url: &str, name: &str, connections: u32) -> PgPool {
    let options: PgConnectOptions = url.parse().unwrap();
    PgPoolOptions::new()
        .max_connections(connections)
        .connect_with(options.application_name(name))
        .await
        .unwrap()
}

/// Polls often, so that tests are fast, with a lease that no test waits for.
pub(crate) fn settings() -> RunnerSettings {
    RunnerSettings {
        poll: Duration::from_millis(20),
        slow_poll: Duration::from_millis(20),
        grace: Duration::from_secs(5),
        ..RunnerSettings::new("test")
    }
}

/// The same with a short lease.
pub(crate) fn short_lease(lease: Duration) -> RunnerSettings {
    RunnerSettings {
        lease,
        ..settings()
    }
}

/// A runner that runs.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunnerDied>>,
}

impl Running {
    pub(crate) fn start(runner: Runner) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(runner.run(stop.clone()));
        Self { stop, task }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Asks it to stop, and does not wait.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Stops it. Returns how long that took.
    pub(crate) async fn stop(self) -> Duration {
        assert!(
            self.stop.is_cancelled() || !self.has_ended(),
            "a runner never ends by itself"
        );
        let asked = Instant::now();
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .expect("the runner stops")
            .unwrap()
            .expect("no part of it died");
        asked.elapsed()
    }
}

/// Waits for an event, up to the deadline.
pub(crate) async fn until(what: &str, happened: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !happened().await {
        assert!(start.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The keys of the attempts made, in their order.
pub(crate) fn keys_run(queue: &TestQueue) -> Vec<String> {
    let starts = queue.world.starts();
    starts.into_iter().map(|(key, _)| key).collect()
}

pub(crate) fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:04}")).collect()
}
