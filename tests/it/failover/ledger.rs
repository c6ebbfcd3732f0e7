//! A steady stream of webhooks, with Twilio's repeats, and a record of every one.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use twilio_simulator::WebhookSender;

use crate::{
    app::text,
    database::{Database, NUMBER},
    wait::eventually,
};

/// A message body that creates three items.
const BODY: &str = "Met Ana #here #there";
const ITEMS: i64 = 3;

/// Twilio repeats a webhook this often (`#rc=3`), and gives up after this time.
const REPEATS: u32 = 3;
const GIVES_UP: Duration = Duration::from_secs(15);

/// The most webhooks that are under way at a time.
const MOST_AT_ONCE: usize = 1000;

/// What became of the webhooks.
#[derive(Debug, Default, Clone)]
pub(super) struct LedgerEntries {
    pub(super) sent: usize,
    /// The SIDs of those that got 200.
    pub(super) acknowledged: Vec<String>,
    refused: usize,
    /// When the first webhook was answered with 200 since the last one was refused.
    answers_since: Option<Instant>,
}

/// The stream of webhooks.
pub(super) struct WebhookLedger {
    entries: Arc<Mutex<LedgerEntries>>,
    stop: CancellationToken,
    tracker: TaskTracker,
    sender: JoinSet<()>,
}

impl WebhookLedger {
    /// Sends this many webhooks a second, each with its repeats, until it is finished.
    pub(super) fn start(twilio: &WebhookSender, rate: u32) -> Self {
        let (entries, stop) = (
            Arc::<Mutex<LedgerEntries>>::default(),
            CancellationToken::new(),
        );
        let (tracker, mut sender) = (TaskTracker::new(), JoinSet::new());
        let places = Arc::new(Semaphore::new(MOST_AT_ONCE));
        sender.spawn({
            let (twilio, entries) = (twilio.clone(), entries.clone());
            let (stop, tracker) = (stop.clone(), tracker.clone());
            async move {
                let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    let place = tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        place = async {
                            ticks.tick().await;
                            places.clone().acquire_owned().await.expect("it stays open")
                        } => place,
                    };
                    entries.lock().unwrap().sent += 1;
                    let (twilio, entries) = (twilio.clone(), entries.clone());
                    tracker.spawn(async move {
                        deliver(&twilio, &entries).await;
                        drop(place);
                    });
                }
            }
        });
        Self {
            entries,
            stop,
            tracker,
            sender,
        }
    }

    /// How often a webhook got another answer than 200, or none.
    pub(super) fn refused(&self) -> usize {
        self.entries.lock().unwrap().refused
    }

    fn acknowledged(&self) -> usize {
        self.entries.lock().unwrap().acknowledged.len()
    }

    /// Waits until this many more webhooks got 200.
    pub(super) async fn wait_for_more(&self, more: usize, limit: Duration) {
        let before = self.acknowledged();
        eventually("webhooks get 200", limit, async || {
            (self.acknowledged() >= before + more).then_some(())
        })
        .await;
    }

    /// Waits until no webhook is refused any more after a fault. Returns how long after the fault
    /// that was; zero if it cost nothing.
    pub(super) async fn wait_for_answers_after(&self, since: Instant, limit: Duration) -> Duration {
        /// Without a refusal for this long, the fault is over.
        const CALM: Duration = Duration::from_secs(3);
        eventually("webhooks get 200 again", limit, async || {
            let first = self.entries.lock().unwrap().answers_since?;
            (first.elapsed() > CALM).then(|| first.saturating_duration_since(since))
        })
        .await
    }

    /// Stops, waits for all answers, and returns the record.
    pub(super) async fn finish(self) -> LedgerEntries {
        self.stop.cancel();
        self.sender.join_all().await;
        self.tracker.close();
        self.tracker.wait().await;
        self.entries.lock().unwrap().clone()
    }
}

/// Delivers one message as Twilio does, which repeats it at once.
async fn deliver(twilio: &WebhookSender, entries: &Mutex<LedgerEntries>) {
    let parameters = twilio.parameters(&text(NUMBER, BODY));
    let (_, sid) = parameters
        .iter()
        .find(|(name, _)| name == "MessageSid")
        .expect("it has a SID")
        .clone();
    let begun = Instant::now();
    for _ in 0..=REPEATS {
        let delivery = twilio.post(sid.clone(), &parameters).await;
        let mut entries = entries.lock().unwrap();
        if delivery.is_ok_and(|delivery| delivery.status == 200) {
            entries.acknowledged.push(sid);
            entries.answers_since.get_or_insert_with(Instant::now);
            return;
        }
        entries.refused += 1;
        entries.answers_since = None;
        if begun.elapsed() > GIVES_UP {
            return;
        }
    }
}

/// How the database differs from the record.
#[derive(Debug)]
pub(super) struct LedgerAccount {
    /// Acknowledged messages that are not stored.
    pub(super) lost: Vec<String>,
    /// Stored messages that have not ended, or in another way than they must.
    pub(super) unprocessed: i64,
    /// Messages with too many items, or too few.
    pub(super) doubled: i64,
}

/// Compares the database with what was acknowledged. Messages that were stored without an answer
/// count, too.
pub(super) async fn compare(database: &Database, acknowledged: &[String]) -> LedgerAccount {
    let lost = sqlx::query_scalar(
        "select sid from unnest($1::text[]) as sid
         where not exists (select from pigeonhole.inbound_messages where message_sid = sid)",
    )
    .bind(acknowledged)
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let (unprocessed, doubled) = sqlx::query_as(
        "select count(*) filter (where state <> 'processed'),
             count(*) filter (where state = 'processed' and items <> $1)
         from (
             select m.state, count(i.id) as items
             from pigeonhole.inbound_messages m
             left join enrichment_items i on i.source_metadata ->> 'message_sid' = m.message_sid
             group by m.message_sid
         ) as messages",
    )
    .bind(ITEMS)
    .fetch_one(&database.pool)
    .await
    .unwrap();
    LedgerAccount {
        lost,
        unprocessed,
        doubled,
    }
}
