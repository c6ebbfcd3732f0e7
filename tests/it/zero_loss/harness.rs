//! The system, its faults, and the checks at the end.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    time::{Duration, Instant},
};

use embedded_postgres::{PostgresServer, PostgresSettings};
use rustix::process::Signal;
use sqlx::types::chrono::{DateTime, Utc};
use store::users;
use tokio::task::block_in_place;
use twilio_simulator::{
    ApiConditions, ReadAnswer, ReceivedText, SendAnswer, SimulatedApi, WebhookFate, WebhookResult,
    WebhookSender,
};
use uuid::Uuid;

use super::{
    faults::ZeroLossFault,
    ledger::{MessageEntry, MessageLedger},
    proxy::StallingProxy,
    traffic::kinds,
};
use crate::{database::Database, process::Process, wait::PATIENCE};

const LEASE: Duration = Duration::from_secs(2);
const WORKERS: usize = 2;
const USERS: usize = 20;

/// The longest time from the end of the last fault until everything has taken effect. A message is
/// left to its webhook for twenty seconds, and a scheduled look may be the first to find it.
const LONGEST_RECOVERY: Duration = Duration::from_mins(6);

/// So many more texts take a second more: most of them are left to recovery.
const RECOVERED_A_SECOND: usize = 100;

/// How many messages' stories a failure tells.
const STORIES: usize = 5;

pub(super) struct ZeroLossHarness {
    server: PostgresServer,
    proxy: StallingProxy,
    database: Database,
    ledger: MessageLedger,
    api: SimulatedApi,
    pub(super) twilio: WebhookSender,
    pub(super) numbers: Vec<String>,
    /// `None` while it is being replaced.
    receiver: Option<Process>,
    workers: Vec<Option<Process>>,
    /// The faults that last, with the worker that they are about.
    lasting: Vec<(ZeroLossFault, usize)>,
    /// When each fault began and ended.
    faults: Vec<(DateTime<Utc>, String)>,
}

impl ZeroLossHarness {
    pub(super) async fn start() -> Self {
        // A long run fills the tables with dead rows. They are vacuumed as in production.
        let settings = PostgresSettings::default()
            .set("autovacuum", "on")
            .set("autovacuum_naptime", "5s");
        let server = block_in_place(|| PostgresServer::start_temporary(settings)).unwrap();
        let proxy = StallingProxy::start(server.dir().join(".s.PGSQL.5432"));
        let database = Database::create_on(&server)
            .await
            .with("JOB_LEASE_SECONDS", LEASE.as_secs().to_string())
            .with("SHUTDOWN_GRACE_SECONDS", "2")
            .with("REPLIES", "all")
            .with("RECOVERY", "on")
            .with("RUST_LOG", "warn,pigeonhole=info,jobs=info");
        let ledger = MessageLedger::open(&database.pool).await;
        let (database, api) = database.with_twilio().await;
        let url = format!("postgres://postgres@{}/pigeonhole", proxy.addr);
        let database = database.with("DATABASE_URL", url);
        let mut numbers = Vec::new();
        for n in 0..USERS {
            let (user, number) = (Uuid::new_v4(), format!("+1303555{n:04}"));
            let mut conn = database.pool.acquire().await.unwrap();
            users::ensure(&mut conn, user).await.unwrap();
            drop(conn);
            database.link(user, &number).await;
            numbers.push(number);
        }
        let (receiver, addr) = Process::receiver("receiver", &database.settings).await;
        // The next receiver must listen on the same address.
        let database = database.with("LISTEN_ADDR", addr.to_string());
        api.connect(&format!("http://{addr}"));
        let workers = (0..WORKERS).map(|_| Some(Process::start("worker", &database.settings)));
        Self {
            twilio: api.webhook_sender(&format!("http://{addr}")),
            workers: workers.collect(),
            receiver: Some(receiver),
            server,
            proxy,
            database,
            ledger,
            api,
            numbers,
            lasting: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Sends one text of each kind while nothing fails. Returns the number of items of each, by the
    /// number of its files and the type of the first one.
    pub(super) async fn calm_weather(&self) -> HashMap<String, i64> {
        let mut items = HashMap::new();
        for (kind, text) in kinds(&self.numbers[0]) {
            let sent = self.twilio.send(&text).await;
            assert_eq!(sent.result, WebhookResult::Delivered, "{kind}: {sent:?}");
            let sid = &sent.message_sid;
            assert_eq!(self.database.wait_until_ended(sid).await, "processed");
            let count = i64::try_from(self.database.items(sid).await.len()).unwrap();
            assert!(count > 0, "{kind}");
            let received = self.api.received().pop().unwrap();
            items.insert(kind_of(&received), count);
        }
        items
    }

    pub(super) async fn begin(&mut self, fault: ZeroLossFault) {
        let worker = rand::random_range(0..WORKERS);
        self.note(format!("{fault:?} begins ({worker})"));
        match fault {
            ZeroLossFault::ReceiverKilled => self.receiver.take().unwrap().kill(),
            ZeroLossFault::ReceiverFrozen => self.receiver.as_ref().unwrap().signal(Signal::STOP),
            ZeroLossFault::ReceiverDeployed => stop(self.receiver.take().unwrap()).await,
            ZeroLossFault::WorkerKilled => self.workers[worker].take().unwrap().kill(),
            ZeroLossFault::WorkerFrozen => {
                self.workers[worker].as_ref().unwrap().signal(Signal::STOP);
            }
            ZeroLossFault::WorkerDeployed => stop(self.workers[worker].take().unwrap()).await,
            ZeroLossFault::PostgresCrashed => {
                block_in_place(|| self.server.stop_immediate()).unwrap();
            }
            ZeroLossFault::NetworkStalled => self.proxy.stall(true),
            ZeroLossFault::WebhooksLost => self.api.set_conditions(|conditions| {
                conditions.webhooks = WebhookFate::Lose { error_code: 11205 };
            }),
            ZeroLossFault::TwilioThrottles => self.trouble(
                ReadAnswer::Throttle {
                    times: u32::MAX,
                    retry_after: Some(1),
                },
                &SendAnswer::Throttle {
                    times: u32::MAX,
                    retry_after: Some(1),
                },
            ),
            ZeroLossFault::TwilioFails => self.trouble(
                ReadAnswer::ServerError { times: u32::MAX },
                &SendAnswer::ServerError { accept: false },
            ),
        }
        self.lasting.push((fault, worker));
    }

    /// From now on, Twilio's API answers like this.
    fn trouble(&self, reads: ReadAnswer, sends: &SendAnswer) {
        self.api
            .set_conditions(|conditions| conditions.reads = reads);
        for number in &self.numbers {
            self.api.behave(number, sends.clone());
        }
    }

    /// Ends all faults. The database comes back first, so that processes find it.
    pub(super) async fn end_faults(&mut self) {
        self.proxy.stall(false);
        let lasting = std::mem::take(&mut self.lasting);
        if lasting
            .iter()
            .any(|(fault, _)| *fault == ZeroLossFault::PostgresCrashed)
        {
            block_in_place(|| self.server.start_again()).unwrap();
        }
        for (fault, worker) in lasting {
            match fault {
                ZeroLossFault::ReceiverFrozen => {
                    self.receiver.as_ref().unwrap().signal(Signal::CONT);
                }
                ZeroLossFault::WorkerFrozen => {
                    self.workers[worker].as_ref().unwrap().signal(Signal::CONT);
                }
                ZeroLossFault::ReceiverKilled | ZeroLossFault::ReceiverDeployed => {
                    let settings = &self.database.settings;
                    self.receiver = Some(Process::receiver("receiver", settings).await.0);
                }
                ZeroLossFault::WorkerKilled | ZeroLossFault::WorkerDeployed => {
                    let settings = &self.database.settings;
                    self.workers[worker] = Some(Process::start("worker", settings));
                }
                ZeroLossFault::WebhooksLost
                | ZeroLossFault::TwilioThrottles
                | ZeroLossFault::TwilioFails => {
                    self.api
                        .set_conditions(|conditions| *conditions = ApiConditions::default());
                    for number in &self.numbers {
                        self.api.behave(number, SendAnswer::Accept);
                    }
                }
                ZeroLossFault::PostgresCrashed | ZeroLossFault::NetworkStalled => {}
            }
            self.note(format!("{fault:?} ends ({worker})"));
        }
        self.assert_all_processes_run();
    }

    /// Notes an event of the run.
    fn note(&mut self, what: String) {
        let at = now();
        println!("zero loss: {at} {what}");
        self.faults.push((at, what));
    }

    fn assert_all_processes_run(&mut self) {
        let workers = self.workers.iter_mut().chain([&mut self.receiver]);
        for process in workers.flatten() {
            assert!(
                process.is_running(),
                "a process exited unexpectedly:\n{}",
                process.log()
            );
            assert!(!process.log().contains("panicked"), "{}", process.log());
        }
    }

    /// Waits until everything that Twilio took has ended.
    pub(super) async fn settle(&self) {
        let taken = self.api.received().len();
        let backlog = Duration::from_secs(u64::try_from(taken / RECOVERED_A_SECOND).unwrap());
        let (limit, taken) = (LONGEST_RECOVERY + backlog, i64::try_from(taken).unwrap());
        let started = Instant::now();
        loop {
            let (ended, open) = self.ledger.counts().await;
            if ended >= taken && open == 0 {
                println!("zero loss: settled within {:.1?}", started.elapsed());
                return;
            }
            if started.elapsed() > limit {
                println!("zero loss: {ended} of {taken} have ended, {open} are open");
                return; // `verify` tells the stories
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Checks every message, and prints the figures.
    pub(super) async fn verify(mut self, expected: &HashMap<String, i64>, rounds: usize) {
        self.assert_all_processes_run();
        let taken = self.api.received();
        let entries = self.ledger.messages().await;
        let entries: HashMap<&str, &MessageEntry> = entries
            .iter()
            .map(|entry| (entry.message_sid.as_str(), entry))
            .collect();
        let mut wrong = Vec::new();
        let (mut took, mut by_source) = (Vec::new(), BTreeMap::<&str, usize>::new());
        for text in &taken {
            let entry = entries.get(text.sid.as_str());
            let items = expected[&kind_of(text)];
            let is_right = entry.is_some_and(|entry| {
                entry.state == "processed"
                    && (entry.accepted, entry.ended) == (1, 1)
                    && (entry.inserted, entry.items) == (items, items)
            });
            if !is_right {
                wrong.push(text);
                continue;
            }
            let entry = entries[text.sid.as_str()];
            *by_source.entry(entry.source.as_str()).or_default() += 1;
            let finished = entry.finished_at.expect("an ended message has a time");
            took.push((finished - text.at).to_std().unwrap_or_default());
        }
        assert!(
            wrong.is_empty(),
            "{} of {} texts did not take effect exactly once:\n{}",
            wrong.len(),
            taken.len(),
            self.stories(&wrong).await
        );
        assert_eq!(entries.len(), taken.len(), "no message came from nowhere");
        let replies = self.assert_replies_are_single();
        let failed = taken
            .iter()
            .filter(|text| text.webhook != WebhookResult::Delivered);
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100];
        println!(
            "figures of zero-loss: {rounds} rounds of faults; Twilio took {} texts, and {} webhooks failed for good; \
             lost 0, doubled 0, replies twice 0; by source {by_source:?}; {replies} replies; from Twilio to the \
             effect p50 {:.2?}, p99 {:.2?}, most {:.2?}",
            taken.len(),
            failed.count(),
            at(50),
            at(99),
            at(100),
        );
    }

    /// No send was accepted twice by Twilio. Each message has one reply at most, as its row names
    /// it. Returns the number of replies.
    fn assert_replies_are_single(&self) -> usize {
        let accepted = self.api.accepted();
        let mut seen = HashSet::new();
        for message in &accepted {
            let callback = message.status_callback.as_deref();
            let callback = callback.expect("each send asks for its status");
            assert!(seen.insert(callback), "sent twice: {callback}");
        }
        accepted.len()
    }

    /// Tells all that is known of these messages.
    async fn stories(&self, texts: &[&ReceivedText]) -> String {
        let mut story = String::new();
        for text in texts.iter().take(STORIES) {
            writeln!(
                story,
                "{}, taken at {}, {} tries, {:?}:\n{}\n  logs of running processes, and faults at that time:",
                text.sid,
                text.at,
                text.tries,
                text.webhook,
                self.ledger.story(&text.sid).await
            )
            .unwrap();
            let running = self.workers.iter().chain([&self.receiver]).flatten();
            for line in running.flat_map(|process| lines_with(process, &text.sid)) {
                writeln!(story, "    log: {line}").unwrap();
            }
            for (at, what) in &self.faults {
                if (*at - text.at).num_seconds().abs() <= 20 {
                    writeln!(story, "    {at} {what}").unwrap();
                }
            }
        }
        story
    }
}

/// The lines of a process's log that name the message.
fn lines_with(process: &Process, sid: &str) -> Vec<String> {
    let log = process.log();
    let lines = log.lines().filter(|line| line.contains(sid));
    lines.map(str::to_owned).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the simulated Twilio, which says when a text was taken"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// What decides how many items a text makes.
fn kind_of(text: &ReceivedText) -> String {
    text.media
        .iter()
        .map(|(_, content_type)| content_type.as_str())
        .collect()
}

/// Stops a process in order, as a deployment does.
async fn stop(mut process: Process) {
    process.signal(Signal::TERM);
    let status = process.ended(PATIENCE).await;
    // A process that was only just started does not handle the signal yet, and has done nothing.
    let had_begun = !process.log().is_empty();
    assert!(
        status.success() || !had_begun,
        "{status}:\n{}",
        process.log()
    );
    assert!(!process.log().contains("panicked"), "{}", process.log());
}
