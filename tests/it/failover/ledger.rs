//! A steady stream of webhooks, with Twilio's repeats, and a record of every one.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use twilio_simulator::{SentText, WebhookResult, WebhookSender};

use crate::{
    app::text,
    database::{Database, NUMBER},
    wait::eventually,
};

/// A message body that creates three items.
const BODY: &str = "Met Ana #here #there";
const ITEMS: i64 = 3;

/// The most webhooks that are under way at a time.
const MOST_AT_ONCE: usize = 1000;

/// What became of the webhooks.
#[derive(Debug, Default, Clone)]
pub(super) struct LedgerEntries {
    /// The SIDs of all that Twilio took and has given up or delivered.
    pub(super) sent: Vec<String>,
    /// The SIDs of those that got 200, and when.
    acknowledged: Vec<(String, Instant)>,
    refused: usize,
    last_refused: Option<Instant>,
}

impl LedgerEntries {
    fn record(&mut self, text: SentText) {
        let answered = text.result == WebhookResult::Delivered;
        self.refused += usize::try_from(text.tries).unwrap() - usize::from(answered);
        self.last_refused = self.last_refused.max(text.refused_at);
        self.sent.push(text.message_sid.clone());
        if answered {
            self.acknowledged.push((text.message_sid, Instant::now()));
        }
    }

    pub(super) fn acknowledged(&self) -> Vec<String> {
        self.acknowledged
            .iter()
            .map(|(sid, _)| sid.clone())
            .collect()
    }

    /// When the first webhook got 200 after the last refusal.
    fn answers_since(&self) -> Option<Instant> {
        let times = self.acknowledged.iter().rev().map(|(_, at)| *at);
        times.take_while(|at| Some(*at) > self.last_refused).last()
    }
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
                    let (twilio, entries) = (twilio.clone(), entries.clone());
                    tracker.spawn(async move {
                        let sent = twilio.send(&text(NUMBER, BODY)).await;
                        entries.lock().unwrap().record(sent);
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
            let first = self.entries.lock().unwrap().answers_since()?;
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

/// How the database differs from the record.
#[derive(Debug)]
pub(super) struct LedgerAccount {
    /// Acknowledged messages that Postgres has lost: they are not stored, or were recovered from
    /// Twilio.
    pub(super) lost_by_postgres: Vec<String>,
    /// Messages that Twilio took and that are not stored.
    pub(super) missing: Vec<String>,
    /// Messages that were recovered from Twilio.
    pub(super) recovered: i64,
    /// Stored messages that have not ended, or in another way than they must.
    pub(super) unprocessed: i64,
    /// Messages with too many items, or too few.
    pub(super) doubled: i64,
}

/// The messages of the list that are not stored.
pub(super) async fn missing(database: &Database, sids: &[String]) -> Vec<String> {
    sqlx::query_scalar(
        "select sid from unnest($1::text[]) as sid
         where not exists (select from pigeonhole.inbound_messages where message_sid = sid)",
    )
    .bind(sids)
    .fetch_all(&database.pool)
    .await
    .unwrap()
}

/// Compares the database with what Twilio took.
pub(super) async fn compare(database: &Database, entries: &LedgerEntries) -> LedgerAccount {
    // A webhook's last repeat comes before its message is looked for. So an acknowledged message
    // that was recovered had been lost.
    let lost_by_postgres = sqlx::query_scalar(
        "select sid from unnest($1::text[]) as sid
         where not exists (
             select from pigeonhole.inbound_messages where message_sid = sid and source = 'webhook')",
    )
    .bind(entries.acknowledged())
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let (unprocessed, doubled, recovered) = sqlx::query_as(
        "select count(*) filter (where state <> 'processed'),
             count(*) filter (where state = 'processed' and items <> $1),
             count(*) filter (where source <> 'webhook')
         from (
             select m.state, m.source, count(i.id) as items
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
        lost_by_postgres,
        missing: missing(database, &entries.sent).await,
        recovered,
        unprocessed,
        doubled,
    }
}
