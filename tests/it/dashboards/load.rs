//! Real processes under a load that exercises everything that the panels show.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use embedded_postgres::PostgresServer;
use reqwest::header;
use serde_json::{Value, json};
use store::{job_args::ProcessMessage, users};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use twilio::{MessageSid, signature};
use twilio_simulator::{Callbacks, InboundText, SimulatedApi, WebhookSender};
use uuid::Uuid;

use crate::{
    api::token_of,
    app::text,
    database::{Database, NUMBER},
    process::Process,
    settings::{WEBHOOK, hex},
    webhook::{client, encode, webhook},
};

/// A receiver, two workers, and their simulated Twilio.
pub(super) struct DashboardHarness {
    targets: Arc<LoadTargets>,
    _processes: Vec<Process>,
    admin: Vec<SocketAddr>,
    _server: PostgresServer,
}

/// The number of people who text from time to time, beside the one who texts all the time.
const QUIET: usize = 100;

fn number_of(quiet: usize) -> String {
    format!("+1415{:03}0100", 200 + quiet % QUIET)
}

/// The targets of the system that the load uses.
struct LoadTargets {
    database: Database,
    api: SimulatedApi,
    twilio: WebhookSender,
    receiver: SocketAddr,
    client: reqwest::Client,
}

/// A repeated action of one person.
#[derive(Clone, Copy)]
enum LoadActor {
    /// Texts us: one person exceeds the rate limit, others text from time to time.
    Texts,
    /// Texts us from an unlinked number, each time another one.
    IsNobody,
    /// Links a number.
    Links,
    /// Forges a signature, or signs correctly for another host.
    Forges,
    /// Creates jobs for messages that do not exist.
    Loses,
}

/// All actions and their intervals, which leave most of the machine's capacity to other tests.
const ACTORS: [(LoadActor, Duration); 5] = [
    (LoadActor::Texts, Duration::from_millis(50)),
    (LoadActor::IsNobody, Duration::from_secs(1)),
    (LoadActor::Links, Duration::from_millis(700)),
    (LoadActor::Forges, Duration::from_secs(8)),
    (LoadActor::Loses, Duration::from_secs(9)),
];

impl DashboardHarness {
    pub(super) async fn start() -> Self {
        // A server of its own, so that its statistics show only this load. It is vacuumed as a
        // production server is.
        let postgres = embedded_postgres::PostgresSettings::default()
            .set("autovacuum", "on")
            .set("autovacuum_naptime", "15s")
            .set("fsync", "on")
            .set("full_page_writes", "on");
        let server = PostgresServer::start_temporary(postgres).unwrap();
        let (database, api) = Database::create_on(&server)
            .await
            .with("REPLIES", "problems")
            .with("VERIFICATION_IP_HOURLY_LIMIT", "10000")
            .with("VERIFICATION_COUNTRY_HOURLY_LIMIT", "10000")
            // This limit slows down the person who texts all the time.
            .with("RATE_LIMIT_MESSAGES_PER_HOUR", "1800")
            .with("RATE_LIMIT_BURST", "5")
            .with("RATE_LIMIT_MAX_DELAY", "10s")
            .with_twilio()
            .await;
        for quiet in 0..QUIET {
            let user = Uuid::new_v4();
            let mut conn = database.pool.acquire().await.unwrap();
            users::ensure(&mut conn, user).await.unwrap();
            drop(conn);
            database.link(user, &number_of(quiet)).await;
        }
        let (first, receiver) = Process::receiver("receiver", &database.settings).await;
        api.connect(&format!("http://{receiver}"));
        let mut processes = vec![first];
        for _ in 0..2 {
            processes.push(Process::start("worker", &database.settings));
        }
        let mut admin = Vec::new();
        for process in &processes {
            admin.push(process.addr("admin listens").await);
        }
        let twilio = database.settings.twilio(receiver);
        let targets = LoadTargets {
            database,
            api,
            twilio,
            receiver,
            client: client(),
        };
        Self {
            targets: Arc::new(targets),
            _processes: processes,
            admin,
            _server: server,
        }
    }

    /// The addresses of the metrics.
    pub(super) fn admin_addrs(&self) -> Vec<SocketAddr> {
        self.admin.clone()
    }

    /// Starts all actors.
    pub(super) fn load(&self) -> DashboardLoad {
        let mut load = DashboardLoad {
            stop: CancellationToken::new(),
            people: JoinSet::new(),
        };
        for (actor, pace) in ACTORS {
            load.again(&self.targets, actor, pace);
        }
        load
    }
}

/// Actors that repeat their actions until they are stopped.
pub(super) struct DashboardLoad {
    stop: CancellationToken,
    people: JoinSet<()>,
}

impl DashboardLoad {
    fn again(&mut self, targets: &Arc<LoadTargets>, actor: LoadActor, pace: Duration) {
        let (targets, stop) = (targets.clone(), self.stop.clone());
        self.people.spawn(async move {
            let mut clock = tokio::time::interval(pace);
            let mut n = 0;
            while !stop.is_cancelled() {
                clock.tick().await;
                actor.act(&targets, n).await;
                n += 1;
            }
        });
    }

    pub(super) async fn finish(self) {
        self.stop.cancel();
        self.people.join_all().await;
    }
}

impl LoadActor {
    async fn act(self, targets: &LoadTargets, n: usize) {
        match self {
            Self::Texts => targets.text(n).await,
            Self::IsNobody => {
                let unlinked = format!("+1503{:03}{:04}", 200 + n % 700, 1000 + n / 700);
                targets.deliver(&text(&unlinked, "Who are you?")).await;
            }
            Self::Links => targets.link(n).await,
            Self::Forges => targets.forge().await,
            Self::Loses => targets.lose().await,
        }
    }
}

impl LoadTargets {
    /// Ignores the result: the dashboards show it.
    async fn deliver(&self, text: &InboundText) {
        self.twilio.deliver(text).await.ok();
    }

    async fn text(&self, n: usize) {
        let from = match n % 20 {
            0 => NUMBER.to_owned(),
            _ => number_of(n),
        };
        let mut text = text(&from, "Met Ana at #RustConf");
        if n % 20 == 3 {
            text.media = vec!["image/jpeg".to_owned(), "text/vcard".to_owned()];
        }
        if n % 20 == 1 {
            let parameters = self.twilio.parameters(&text);
            let sid = value(&parameters, "MessageSid");
            for _ in 0..2 {
                self.twilio.post(sid.clone(), &parameters).await.ok();
            }
        } else {
            self.deliver(&text).await;
        }
    }

    /// Some enter a wrong code first, some enter none, and some phones are off.
    async fn link(&self, n: usize) {
        let user = Uuid::new_v4();
        let mut conn = self.database.pool.acquire().await.unwrap();
        users::ensure(&mut conn, user).await.unwrap();
        drop(conn);
        let number = format!("+1212{}{:04}", 200 + n % 700, 1000 + n / 700);
        if n % 10 == 3 {
            self.api
                .behave(&number, Callbacks::Undelivered { code: 30005 });
        }
        let token = token_of(user, self.database.settings.get("JWT_SECRET"));
        let path = "/api/user/phone-number";
        if self
            .post(path, &token, &json!({ "phoneNumber": number }))
            .await
            != 201
        {
            return;
        }
        let sms = self.api.message_to(&number).await;
        let code: String = sms
            .body
            .chars()
            .filter(char::is_ascii_digit)
            .take(6)
            .collect();
        if n % 10 == 3 || n % 10 == 7 {
            return;
        }
        let verify = format!("{path}/verify");
        if n.is_multiple_of(4) {
            let wrong = if code == "123456" { "654321" } else { "123456" };
            let guess = json!({ "phoneNumber": number, "code": wrong });
            self.post(&verify, &token, &guess).await;
        }
        let guess = json!({ "phoneNumber": number, "code": code });
        self.post(&verify, &token, &guess).await;
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> u16 {
        let url = format!("http://{}{path}", self.receiver);
        let request = self.client.post(url).bearer_auth(token).json(body);
        request
            .send()
            .await
            .map_or(0, |answer| answer.status().as_u16())
    }

    async fn forge(&self) {
        let parameters = self.twilio.parameters(&text(NUMBER, "Hello"));
        let body = encode(&parameters);
        let forged = format!("{}=", "A".repeat(27));
        webhook(self.receiver, &forged, body.clone())
            .send()
            .await
            .ok();
        let other = "other.example.com";
        let token = self.database.settings.get("TWILIO_AUTH_TOKEN");
        let signed = signature::sign(token, &format!("https://{other}{WEBHOOK}"), &parameters);
        let request = webhook(self.receiver, &signed, body).header(header::HOST, other);
        request.send().await.ok();
    }

    async fn lose(&self) {
        let message = format!("SM{}", hex()).parse::<MessageSid>().unwrap();
        let mut conn = self.database.pool.acquire().await.unwrap();
        queue::enqueue(&mut conn, &ProcessMessage { message })
            .await
            .unwrap();
    }
}

fn value(parameters: &[(String, String)], name: &str) -> String {
    let found = parameters.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.clone()).unwrap()
}
