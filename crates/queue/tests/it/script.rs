//! Jobs whose arguments say what they do, so that a test reads as what happened and in which order.

use std::{
    marker::PhantomData,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use queue::{Attempt, Backoff, Job, JobArgs, JobError};
use serde::{Deserialize, Deserializer, Serialize};
use sqlx::PgPool;
use tokio::sync::Semaphore;

/// What an attempt does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Does {
    /// Succeeds without a trace.
    Nothing,
    /// Writes its key into `effects` and completes in the same transaction.
    Effect,
    /// The same, but its first attempt rolls the transaction back and fails.
    EffectRolledBackOnce,
    /// Waits until the world's gate is open, or for ever.
    Hold(Box<Does>),
    /// Waits.
    After(Duration, Box<Does>),
    /// The first attempt never ends, later ones have their effect.
    HangOnce,
    /// Fails, asking for this delay if any.
    Fail(String, Option<Duration>),
    /// The first attempt fails, asking for as many milliseconds; later ones have their effect.
    FailOnce(u64),
    Snooze(Duration),
    Discard(String),
    Panic(String),
    /// Kills the process.
    Abort,
    /// Blocks its thread until the gate opens, or for ever.
    BlockThread,
    /// Completes, then holds the transaction open until the gate opens.
    EffectCommittedLate,
    /// Completes in a statement of its own, whose answer it gets when the gate opens.
    EffectAnsweredLate,
}

/// What sets one kind of job apart from another.
pub(crate) trait Policy: Send + Sync + 'static {
    const NAME: &'static str;
    const MAX_ATTEMPTS: u16 = 12;
    const TIMEOUT: Duration = Duration::from_mins(1);
    const BACKOFF: Backoff = Backoff::DEFAULT;
}

/// The defaults.
pub(crate) struct Plain;
impl Policy for Plain {
    const NAME: &'static str = "plain";
}

/// A second kind with the defaults.
pub(crate) struct Other;
impl Policy for Other {
    const NAME: &'static str = "other";
}

/// Few attempts, short delays, a short time limit.
pub(crate) struct Hasty;
impl Policy for Hasty {
    const NAME: &'static str = "hasty";
    const MAX_ATTEMPTS: u16 = 4;
    const TIMEOUT: Duration = Duration::from_millis(200);
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(100),
        cap: Duration::from_millis(300),
    };
}

/// Tries for as long as it takes.
pub(crate) struct Sturdy;
impl Policy for Sturdy {
    const NAME: &'static str = "sturdy";
    const MAX_ATTEMPTS: u16 = 10_000;
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(50),
        cap: Duration::from_millis(200),
    };
}

/// Few attempts, the default otherwise.
pub(crate) struct Deadly;
impl Policy for Deadly {
    const NAME: &'static str = "deadly";
    const MAX_ATTEMPTS: u16 = 3;
}

/// A scripted job of the kind `P`.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Scripted<P> {
    #[serde(deserialize_with = "key")]
    key: String,
    does: Does,
    #[serde(skip)]
    policy: PhantomData<fn() -> P>,
}

/// A job with this key makes the decoder panic.
pub(crate) const DECODER_PANICS: &str = "the decoder panics";

fn key<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let key = String::deserialize(from)?;
    assert_ne!(key, DECODER_PANICS);
    Ok(key)
}

impl<P> Scripted<P> {
    pub(crate) fn new(key: impl Into<String>, does: Does) -> Self {
        Self {
            key: key.into(),
            does,
            policy: PhantomData,
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

pub(crate) fn plain(key: impl Into<String>, does: Does) -> Scripted<Plain> {
    Scripted::new(key, does)
}

pub(crate) fn other(key: impl Into<String>, does: Does) -> Scripted<Other> {
    Scripted::new(key, does)
}

pub(crate) fn hasty(key: impl Into<String>, does: Does) -> Scripted<Hasty> {
    Scripted::new(key, does)
}

pub(crate) fn sturdy(key: impl Into<String>, does: Does) -> Scripted<Sturdy> {
    Scripted::new(key, does)
}

impl<P: Policy> JobArgs for Scripted<P> {
    const NAME: &'static str = P::NAME;
    const MAX_ATTEMPTS: u16 = P::MAX_ATTEMPTS;
}

impl<P: Policy> Job<World> for Scripted<P> {
    const TIMEOUT: Duration = P::TIMEOUT;
    const BACKOFF: Backoff = P::BACKOFF;

    async fn run(&self, world: &World, attempt: &Attempt) -> Result<(), JobError> {
        let mut presence = world.enter(&self.key, attempt.number());
        if world.writes_starts {
            sqlx::query("insert into starts (key, attempt) values ($1, $2)")
                .bind(&self.key)
                .bind(i32::from(attempt.number()))
                .execute(&world.pool)
                .await
                .map_err(JobError::retry)?;
        }
        if let Some(trace) = attempt.trace() {
            note(&world.traces, trace.to_owned());
        }
        let result = self.act(&self.does, world, attempt).await;
        presence.ended = true;
        result
    }
}

impl<P> Scripted<P> {
    async fn act(&self, does: &Does, world: &World, attempt: &Attempt) -> Result<(), JobError> {
        match does {
            Does::Nothing => Ok(()),
            Does::Effect => self.effect(world, attempt, async || true).await,
            Does::EffectRolledBackOnce => {
                let commit = attempt.number() > 1;
                self.effect(world, attempt, async || commit).await
            }
            Does::EffectCommittedLate => {
                let wait = async || {
                    world.gate().await;
                    true
                };
                self.effect(world, attempt, wait).await
            }
            Does::EffectAnsweredLate => {
                let fence = attempt.fence();
                let statement = sqlx::query(
                    "with done as (delete from queue.jobs where id = $1 and claim = $2 returning id)
                     insert into effects (key) select $3 from done",
                )
                .bind(fence.job)
                .bind(fence.claim)
                .bind(&self.key);
                let work = async {
                    let done = statement.execute(&world.pool).await;
                    world.gate().await;
                    done.map(|done| done.rows_affected() == 1)
                };
                let done = attempt
                    .completed_by(work, |done| matches!(done, Ok(true)))
                    .await;
                note(&world.completions, format!("{done:?}"));
                done.map(drop).map_err(JobError::retry)
            }
            Does::Hold(then) => {
                world.gate().await;
                Box::pin(self.act(then, world, attempt)).await
            }
            Does::After(delay, then) => {
                tokio::time::sleep(*delay).await;
                Box::pin(self.act(then, world, attempt)).await
            }
            Does::HangOnce if attempt.number() == 1 => std::future::pending().await,
            Does::HangOnce => self.effect(world, attempt, async || true).await,
            Does::Fail(text, after) => Err(JobError::Retry {
                source: anyhow::anyhow!("{text}"),
                after: *after,
            }),
            Does::FailOnce(delay_ms) if attempt.number() == 1 => Err(JobError::Retry {
                source: anyhow::anyhow!("once"),
                after: Some(Duration::from_millis(*delay_ms)),
            }),
            Does::FailOnce(_) => self.effect(world, attempt, async || true).await,
            Does::Snooze(delay) => Err(JobError::Snooze(*delay)),
            Does::Discard(text) => Err(JobError::discard(anyhow::anyhow!("{text}"))),
            Does::Panic(text) => panic!("{text}"),
            Does::BlockThread => {
                while world.gate.available_permits() == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(())
            }
            Does::Abort => std::process::abort(),
        }
    }

    async fn effect(
        &self,
        world: &World,
        attempt: &Attempt,
        commit: impl AsyncFnOnce() -> bool,
    ) -> Result<(), JobError> {
        let mut tx = world.pool.begin().await.map_err(JobError::retry)?;
        sqlx::query("insert into effects (key) values ($1)")
            .bind(&self.key)
            .execute(&mut *tx)
            .await
            .map_err(JobError::retry)?;
        let completed = attempt.complete(&mut tx).await;
        note(&world.completions, format!("{completed:?}"));
        completed?;
        if commit().await {
            tx.commit().await.map_err(JobError::retry)
        } else {
            tx.rollback().await.map_err(JobError::retry)?;
            Err(JobError::Retry {
                source: anyhow::anyhow!("rolled back"),
                after: Some(Duration::ZERO),
            })
        }
    }
}

/// What the jobs of a test share with it.
#[derive(Clone)]
pub(crate) struct World {
    pool: PgPool,
    /// Whether starts are also written into the table `starts`, for other processes to see.
    writes_starts: bool,
    starts: Arc<Mutex<Vec<(String, u16)>>>,
    cancelled: Arc<Mutex<Vec<String>>>,
    completions: Arc<Mutex<Vec<String>>>,
    traces: Arc<Mutex<Vec<String>>>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl World {
    pub(crate) fn new(pool: PgPool, writes_starts: bool) -> Self {
        Self {
            pool,
            writes_starts,
            starts: Arc::default(),
            cancelled: Arc::default(),
            completions: Arc::default(),
            traces: Arc::default(),
            running: Arc::default(),
            most: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    /// Lets every job go on that waits for the gate, or will.
    pub(crate) fn open_gate(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    async fn gate(&self) {
        drop(self.gate.acquire().await.unwrap());
    }

    /// The attempts begun so far, by key and number.
    pub(crate) fn starts(&self) -> Vec<(String, u16)> {
        self.starts.lock().unwrap().clone()
    }

    /// How often the job with this key began.
    pub(crate) fn runs_of(&self, key: &str) -> usize {
        let starts = self.starts.lock().unwrap();
        starts.iter().filter(|(started, _)| started == key).count()
    }

    /// The keys of the attempts that were dropped or panicked before they ended.
    pub(crate) fn cancelled(&self) -> Vec<String> {
        self.cancelled.lock().unwrap().clone()
    }

    /// What each `complete` answered.
    pub(crate) fn completions(&self) -> Vec<String> {
        self.completions.lock().unwrap().clone()
    }

    /// The trace contexts that attempts were given.
    pub(crate) fn traces(&self) -> Vec<String> {
        self.traces.lock().unwrap().clone()
    }

    /// How many attempts run now.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// The most attempts that ever ran at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn enter(&self, key: &str, number: u16) -> WorkerRegistry {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        note(&self.starts, (key.to_owned(), number));
        WorkerRegistry {
            world: self.clone(),
            key: key.to_owned(),
            ended: false,
        }
    }
}

/// An attempt that runs.
struct WorkerRegistry {
    world: World,
    key: String,
    ended: bool,
}

impl Drop for WorkerRegistry {
    fn drop(&mut self) {
        self.world.running.fetch_sub(1, Ordering::SeqCst);
        if !self.ended {
            note(&self.world.cancelled, self.key.clone());
        }
    }
}

fn note<T>(list: &Mutex<Vec<T>>, what: T) {
    list.lock().unwrap().push(what);
}
