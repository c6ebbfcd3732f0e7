//! A process that reaches its database through a proxy.

use std::{net::SocketAddr, time::Duration};

use twilio_simulator::WebhookSender;

use crate::{
    app::text,
    database::{Database, NUMBER},
    load::BODY,
    process::Process,
    settings::{ProgramSettings, test_run_variable},
    wait::{PATIENCE, eventually},
    webhook::client,
};

/// How often a fault is repeated: `ROLE_FLIPS`, or a few times.
pub(super) fn rounds(short: usize) -> usize {
    asked_rounds().unwrap_or(short)
}

fn asked_rounds() -> Option<usize> {
    test_run_variable("ROLE_FLIPS").map(|rounds| rounds.parse().expect("ROLE_FLIPS is a number"))
}

/// The longest time until everything works again: 5 s. Among other tests, which keep the machine
/// busy, it is only required that it works again.
pub(super) fn soon() -> Duration {
    asked_rounds().map_or(PATIENCE, |_| Duration::from_secs(5))
}

/// A receiver with a worker, as a process of its own.
pub(super) struct FlipHarness {
    pub(super) database: Database,
    pub(super) process: Process,
    pub(super) receiver: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) twilio: WebhookSender,
}

impl FlipHarness {
    /// Starts the process. It reaches the database at this URL.
    pub(super) async fn start(database: Database, url: &str) -> Self {
        let settings: ProgramSettings = database.settings.clone().with("DATABASE_URL", url);
        let (process, receiver) = Process::receiver("serve", &settings).await;
        let admin = process.addr("admin listens").await;
        Self {
            database,
            process,
            receiver,
            admin,
            twilio: settings.twilio(receiver),
        }
    }

    /// The status of a webhook, and the SID of its message.
    pub(super) async fn deliver(&self) -> (u16, String) {
        let delivery = self.twilio.deliver(&text(NUMBER, BODY)).await;
        let delivery = delivery.unwrap();
        (delivery.status, delivery.message_sid)
    }

    /// Delivers a message, which must be accepted within its deadline. On a busy machine, a later one
    /// must be. Returns its SID.
    pub(super) async fn accepted_at_once(&self) -> String {
        if asked_rounds().is_none() {
            return self.accepted_soon().await;
        }
        let (status, sid) = self.deliver().await;
        assert_eq!(status, 200);
        sid
    }

    /// Delivers messages until one is accepted. Returns its SID.
    pub(super) async fn accepted_soon(&self) -> String {
        eventually("a webhook gets 200", soon(), async || {
            let (status, sid) = self.deliver().await;
            (status == 200).then_some(sid)
        })
        .await
    }

    /// The message takes effect soon.
    pub(super) async fn processed_soon(&self, sid: &str) {
        let state = self.database.wait_until_ended_within(sid, soon()).await;
        assert_eq!(state, "processed");
    }

    /// What both listeners say about readiness.
    pub(super) async fn readiness(&self) -> Vec<(u16, String)> {
        let mut all = Vec::new();
        for addr in [self.receiver, self.admin] {
            let url = format!("http://{addr}/readyz");
            let response = client().get(url).send().await.unwrap();
            all.push((response.status().as_u16(), response.text().await.unwrap()));
        }
        all
    }

    /// Both listeners say soon that the process is ready.
    pub(super) async fn ready_soon(&self) {
        eventually("both listeners say ready", soon(), async || {
            let all = self.readiness().await;
            all.iter().all(|(status, _)| *status == 200).then_some(())
        })
        .await;
    }

    /// Both listeners say soon that the process is not ready, for this reason.
    pub(super) async fn unready_soon(&self, reason: &str) {
        eventually(reason, soon(), async || {
            let all = self.readiness().await;
            let unready = |(status, why): &(u16, String)| *status == 503 && why.contains(reason);
            all.iter().all(unready).then_some(())
        })
        .await;
    }

    /// The worker listens for notifications soon: it sends itself one a second.
    pub(super) async fn listens_soon(&self) {
        eventually("the worker listens", soon(), async || {
            let listening: bool = sqlx::query_scalar(
                "select exists (select from pg_stat_activity
                     where query like 'select pg_notify(%where%' and state = 'idle'
                         and pid <> pg_backend_pid()
                         and state_change > now() - interval '1.5 seconds')",
            )
            .fetch_one(&self.database.pool)
            .await
            .ok()?;
            listening.then_some(())
        })
        .await;
    }

    /// Everything works soon: webhooks, jobs, notifications, and both say so.
    pub(super) async fn works_soon(&self) {
        let sid = self.accepted_soon().await;
        self.processed_soon(&sid).await;
        self.listens_soon().await;
        self.ready_soon().await;
    }

    /// No attempt was charged.
    pub(super) async fn assert_no_attempt_lost(&self) {
        let url = format!("http://{}/metrics", self.admin);
        let metrics = client()
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let lost = metrics.lines().filter(|line| {
            line.starts_with("pigeonhole_queue_attempts_total")
                && (line.contains("retried") || line.contains("dead_letter"))
                && !line.ends_with(" 0")
        });
        assert_eq!(lost.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
