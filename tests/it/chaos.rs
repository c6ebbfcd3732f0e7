//! Faults at random under load: workers killed and frozen, the receiver killed, Postgres crashed. In the end everything
//! that was answered must be there, once.
//!
//! A few rounds run with the other tests; `script/chaos` runs as many as it is told to, through `CHAOS_ROUNDS`.

use std::time::{Duration, Instant};

use embedded_postgres::{Server, Settings};
use pigeonhole::dev::twilio::SimulatedTwilio;
use rand::seq::{IndexedRandom, SliceRandom};
use rustix::process::Signal;
use tokio::task::block_in_place;

use crate::{
    app::text,
    database::{Database, NUMBER},
    load::Load,
    process::Process,
    settings::of_the_test_run,
    wait::{PATIENCE, eventually},
};

const LEASE: Duration = Duration::from_secs(2);

const WORKERS: usize = 3;

/// What goes wrong in a round.
#[derive(Debug, Clone, Copy)]
enum Fault {
    KillWorker,
    FreezeWorker,
    KillReceiver,
    CrashPostgres,
}

const FAULTS: [Fault; 4] = [
    Fault::KillWorker,
    Fault::FreezeWorker,
    Fault::KillReceiver,
    Fault::CrashPostgres,
];

#[derive(Debug, Default)]
struct Figures {
    workers_killed: u32,
    workers_frozen: u32,
    receivers_killed: u32,
    postgres_crashed: u32,
    longest_recovery: Duration,
}

struct Chaos {
    server: Server,
    database: Database,
    twilio: SimulatedTwilio,
    /// Always there but for a moment while it is replaced.
    receiver: Option<Process>,
    workers: Vec<Process>,
    figures: Figures,
}

impl Chaos {
    async fn start() -> Self {
        let server = block_in_place(|| Server::start_temporary(Settings::default())).unwrap();
        let database = Database::create_on(&server)
            .await
            .with("JOB_LEASE_SECONDS", LEASE.as_secs().to_string())
            // Else the logs of a long run would be too long to look into.
            .with("RUST_LOG", "warn,pigeonhole::services=info");
        let (receiver, addr) = Process::receiver("receiver", &database.settings).await;
        // The next receiver takes this one's place.
        let database = database.with("LISTEN_ADDR", addr.to_string());
        Self {
            server,
            twilio: database.settings.twilio(addr),
            receiver: Some(receiver),
            workers: (0..WORKERS)
                .map(|_| Process::start("worker", &database.settings))
                .collect(),
            database,
            figures: Figures::default(),
        }
    }

    async fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::KillWorker => {
                let at = rand::random_range(0..WORKERS);
                let next = Process::start("worker", &self.database.settings);
                std::mem::replace(&mut self.workers[at], next).kill();
                self.figures.workers_killed += 1;
            }
            Fault::FreezeWorker => {
                let worker = self.workers.choose(&mut rand::rng()).unwrap();
                worker.signal(Signal::STOP);
                // Until its leases have run out.
                tokio::time::sleep(LEASE + LEASE / 2).await;
                worker.signal(Signal::CONT);
                self.figures.workers_frozen += 1;
            }
            Fault::KillReceiver => {
                let settings = &self.database.settings;
                // First gone, then replaced: they have the same address.
                self.receiver.take().unwrap().kill();
                let (receiver, _) = Process::receiver("receiver", settings).await;
                self.receiver = Some(receiver);
                self.figures.receivers_killed += 1;
            }
            Fault::CrashPostgres => {
                block_in_place(|| self.server.stop_immediate()).unwrap();
                // At times over before the receiver gives up, at times not.
                let away = Duration::from_millis(rand::random_range(0..3000));
                tokio::time::sleep(away).await;
                block_in_place(|| self.server.start_again()).unwrap();
                self.figures.postgres_crashed += 1;
            }
        }
    }

    /// Waits until a message that comes now is processed.
    async fn recover(&mut self) -> Duration {
        let started = Instant::now();
        let sid = eventually("a message is accepted", PATIENCE, async || {
            let delivery = self
                .twilio
                .deliver(&text(NUMBER, "Back #a #b"))
                .await
                .ok()?;
            (delivery.status == 200).then_some(delivery.message_sid)
        })
        .await;
        let state = self.database.wait_until_ended(&sid).await;
        assert_eq!(state, "processed");
        let took = started.elapsed();
        self.figures.longest_recovery = self.figures.longest_recovery.max(took);
        took
    }

    fn assert_nobody_has_ended(&mut self) {
        for process in self.workers.iter_mut().chain(&mut self.receiver) {
            assert!(
                process.is_running(),
                "a process ended by itself:\n{}",
                process.log()
            );
            assert!(!process.log().contains("panicked"), "{}", process.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_nothing_that_was_answered_is_lost() {
    let rounds = of_the_test_run("CHAOS_ROUNDS").map_or(FAULTS.len(), |rounds| {
        rounds.parse().expect("CHAOS_ROUNDS is a number")
    });
    let mut chaos = Chaos::start().await;
    chaos.recover().await;
    chaos.figures.longest_recovery = Duration::ZERO; // the start is none

    let load = Load::start(&chaos.twilio, 4);
    let mut faults = Vec::new();
    for round in 1..=rounds {
        if faults.is_empty() {
            // Each as often as the others, in any order.
            faults = FAULTS.to_vec();
            faults.shuffle(&mut rand::rng());
        }
        let fault = faults.pop().unwrap();
        chaos.inflict(fault).await;
        let recovery = chaos.recover().await;
        println!("round {round}: {fault:?}, recovered in {recovery:.1?}");
        chaos.assert_nobody_has_ended();
    }
    let answered = load.finish().await;
    chaos
        .database
        .assert_nothing_is_lost(&answered.accepted)
        .await;
    chaos.assert_nobody_has_ended();

    let Figures {
        workers_killed,
        workers_frozen,
        receivers_killed,
        postgres_crashed,
        longest_recovery,
    } = chaos.figures;
    println!(
        "{} messages accepted and processed once each, {} refused or unanswered; {rounds} rounds: workers killed \
         {workers_killed}, frozen {workers_frozen}, receivers killed {receivers_killed}, Postgres crashed \
         {postgres_crashed}; longest recovery {longest_recovery:.1?}",
        answered.accepted.len(),
        answered.refused,
    );
}
