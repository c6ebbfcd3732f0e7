//! Failover of a real Postgres under load: Patroni, etcd and `HAProxy`, two nodes, and a ledger of
//! every webhook. The primary is killed, switched over, or frozen until another one has taken its
//! place and then continued.
//!
//! It runs only if it is asked for: `script/failover` sets `FAILOVER_ROUNDS`, the number of faults.

mod cluster;
mod ledger;
mod node;

use std::time::{Duration, Instant};

use self::{cluster::PatroniCluster, ledger::WebhookLedger};
use crate::{database::Database, process::Process, settings::test_run_variable, wait::eventually};

/// The longest time from a fault until a webhook gets 200 again.
const LONGEST_OUTAGE: Duration = Duration::from_secs(45);

/// How long a node may take to rejoin, and all jobs to end, on a busy machine.
const HEALING: Duration = Duration::from_mins(3);

const WORKERS: usize = 2;

#[derive(Debug, Clone, Copy)]
enum FailoverFault {
    /// `kill -9` of Patroni and Postgres on the primary's node, which return afterwards.
    Kill,
    /// `patronictl switchover`.
    Switchover,
    /// The primary's node stops, another one is promoted, and then it continues.
    Freeze,
}

/// The faults of this run, in turn.
fn faults() -> Vec<FailoverFault> {
    use FailoverFault::{Freeze, Kill, Switchover};
    match test_run_variable("FAILOVER_FAULT").as_deref() {
        None => vec![Kill, Switchover, Freeze],
        Some("kill") => vec![Kill],
        Some("switchover") => vec![Switchover],
        Some("freeze") => vec![Freeze],
        Some(other) => panic!("FAILOVER_FAULT is {other}"),
    }
}

fn number(name: &str, default: u32) -> u32 {
    test_run_variable(name).map_or(default, |text| text.parse().expect(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_message_is_lost_or_doubled_by_a_failover() {
    let Some(rounds) = test_run_variable("FAILOVER_ROUNDS") else {
        eprintln!("SKIPPED: script/failover runs it");
        return;
    };
    let rounds: usize = rounds.parse().expect("FAILOVER_ROUNDS is a number");
    let asynchronous = test_run_variable("FAILOVER_ASYNC").is_some();
    let sticky = test_run_variable("FAILOVER_HAPROXY_DEFAULT").is_some();
    let mut cluster = PatroniCluster::start(!asynchronous, !sticky).await;
    let database = Database::at(&cluster.create_database("pigeonhole").await)
        .await
        .with("RUST_LOG", "warn,pigeonhole::services=info")
        .with("RECOVERY", "on");
    let (database, api) = database.with_twilio().await;
    let (mut receiver, addr) = Process::receiver("receiver", &database.settings).await;
    let mut workers: Vec<Process> = (0..WORKERS)
        .map(|_| Process::start("worker", &database.settings))
        .collect();
    let ledger = WebhookLedger::start(
        &api.webhook_sender(&format!("http://{addr}")),
        number("FAILOVER_RATE", 150),
    );
    ledger.wait_for_more(100, HEALING).await;

    let mut outages = Vec::new();
    for (round, fault) in (1..=rounds).zip(faults().into_iter().cycle()) {
        cluster.wait_until_healthy(HEALING).await;
        ledger.wait_for_more(100, HEALING).await;
        let (since, refused) = (Instant::now(), ledger.refused());
        match fault {
            FailoverFault::Kill => cluster.kill_primary().await,
            FailoverFault::Switchover => cluster.switch_over().await,
            FailoverFault::Freeze => cluster.freeze_primary().await,
        }
        // With a synchronous standby, commits wait until both nodes run again.
        cluster.heal().await;
        let outage = ledger.wait_for_answers_after(since, HEALING).await;
        println!(
            "round {round}: {fault:?}: 200 again after {outage:.1?}, {} webhooks refused",
            ledger.refused() - refused
        );
        assert!(outage <= LONGEST_OUTAGE, "no 200 for {outage:?}");
        outages.push(outage);
        let processes = workers.iter_mut().chain([&mut receiver]);
        for process in processes {
            assert!(process.is_running(), "it has ended:\n{}", process.log());
        }
    }
    cluster.wait_until_healthy(HEALING).await;
    ledger.wait_for_more(100, HEALING).await;
    let answered = ledger.finish().await;
    // A connection of the test's pool may have ended at a standby.
    let url = cluster.url_of_primary("pigeonhole").await;
    let primary = database.reached_at(&url).await;
    eventually(
        "every text is there, and all jobs end",
        HEALING,
        async || {
            let all_there = ledger::missing(&primary, &answered.sent).await.is_empty();
            (all_there && primary.rows().await.jobs == 0).then_some(())
        },
    )
    .await;
    let rows = primary.rows().await;
    let account = ledger::compare(&primary, &answered).await;
    outages.sort_unstable();
    println!(
        "figures of failover: {rounds} rounds, {} standby, HAProxy {}; {} texts, {} acknowledged, {} refused \
         or unanswered in the end; 200 again after p50 {:.1?}, at most {:.1?}; {} acknowledged and lost by \
         Postgres, {} recovered from Twilio, {} missing in the end, {} not processed, {} doubled, {} dead \
         letters, 0 restarts",
        if asynchronous {
            "asynchronous"
        } else {
            "synchronous"
        },
        if sticky {
            "by default"
        } else {
            "with shutdown-sessions"
        },
        answered.sent.len(),
        answered.acknowledged().len(),
        answered.sent.len() - answered.acknowledged().len(),
        outages.get(outages.len() / 2).copied().unwrap_or_default(),
        outages.last().copied().unwrap_or_default(),
        account.lost_by_postgres.len(),
        account.recovered,
        account.missing.len(),
        account.unprocessed,
        account.doubled,
        rows.dead,
    );
    assert_eq!((account.unprocessed, account.doubled, rows.dead), (0, 0, 0));
    assert_eq!(account.missing, [] as [String; 0], "not even recovered");
    if !asynchronous {
        let lost = account.lost_by_postgres;
        assert_eq!(lost, [] as [String; 0], "acknowledged and lost");
    }
}
