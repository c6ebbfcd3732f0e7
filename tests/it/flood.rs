//! One attacker requests as many verification SMS as possible, as many users, for many numbers,
//! from many addresses, through two receivers at once. The simulated Twilio counts the SMS: no
//! limit is exceeded.
//!
//! `PIGEONHOLE_FLOOD` sets the number of requests.

mod plan;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use reqwest::Client;
use serde_json::{Value, json};
use twilio_simulator::SimulatedApi;
use uuid::Uuid;

use crate::{
    api::token_of, database::Database, process::Process, settings::test_run_variable,
    webhook::client,
};
use plan::{ALLOWED, LinkAttempt, network, plan};

/// The number of concurrent requests.
const AT_ONCE: usize = 64;

const HOUR: Duration = Duration::from_hours(1);

/// A limit, configurable or not: its name, its maximum, its window, and its key.
struct SmsLimit {
    name: &'static str,
    most: usize,
    window: Duration,
    key: fn(&SentSms) -> String,
}

/// All limits, in such proportions that the flood reaches each of them.
const LIMITS: [SmsLimit; 6] = [
    SmsLimit {
        name: "user_hour",
        most: 5,
        window: HOUR,
        key: |sms| sms.user.to_string(),
    },
    SmsLimit {
        name: "number_10min",
        most: 3,
        window: Duration::from_mins(10),
        key: |sms| sms.ask.number.clone(),
    },
    SmsLimit {
        name: "ip",
        most: 10,
        window: HOUR,
        key: |sms| network(sms.ask.ip),
    },
    SmsLimit {
        name: "prefix",
        most: 20,
        window: HOUR,
        key: |sms| sms.ask.number[1..9].to_owned(),
    },
    SmsLimit {
        name: "country",
        most: 100,
        window: HOUR,
        key: |sms| sms.ask.country.unwrap_or("none of the list").to_owned(),
    },
    SmsLimit {
        name: "budget",
        most: 350,
        window: Duration::from_hours(24),
        key: |_| "all".to_owned(),
    },
];

fn most(name: &str) -> String {
    let limit = LIMITS.iter().find(|limit| limit.name == name).unwrap();
    limit.most.to_string()
}

/// An SMS that the simulated Twilio accepted, and the request that caused it.
struct SentSms {
    user: Uuid,
    ask: LinkAttempt,
}

fn requests() -> usize {
    test_run_variable("PIGEONHOLE_FLOOD").map_or(3000, |text| text.parse().expect("a number"))
}

/// Two receivers and a worker as processes, and their simulated Twilio.
struct FloodHarness {
    database: Database,
    twilio: SimulatedApi,
    receivers: [(Process, SocketAddr); 2],
    _worker: Process,
}

impl FloodHarness {
    async fn start() -> Self {
        let (database, twilio) = Database::create()
            .await
            .with("TRUSTED_PROXIES", "127.0.0.0/8")
            .with("VERIFICATION_COUNTRIES", ALLOWED)
            .with("VERIFICATION_IP_HOURLY_LIMIT", most("ip"))
            .with("VERIFICATION_PREFIX_HOURLY_LIMIT", most("prefix"))
            .with("VERIFICATION_COUNTRY_HOURLY_LIMIT", most("country"))
            .with("VERIFICATION_DAILY_BUDGET", most("budget"))
            // Logs the listening addresses, but no line per request.
            .with("RUST_LOG", "warn,pigeonhole::services=info")
            .with_twilio()
            .await;
        let receivers = [
            Process::receiver("receiver", &database.settings).await,
            Process::receiver("receiver", &database.settings).await,
        ];
        twilio.connect(&format!("http://{}", receivers[0].1));
        let worker = Process::start("worker", &database.settings);
        Self {
            database,
            twilio,
            receivers,
            _worker: worker,
        }
    }

    /// The attacker's users and their tokens.
    async fn users(&self, count: usize) -> Vec<(Uuid, String)> {
        let secret = self.database.settings.get("JWT_SECRET");
        let ids: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
        sqlx::query("insert into users (id) select unnest($1::uuid[])")
            .bind(&ids)
            .execute(&self.database.pool)
            .await
            .unwrap();
        let with_token = |user| (user, token_of(user, secret));
        ids.into_iter().map(with_token).collect()
    }

    /// The SMS that the simulated Twilio accepted. The id in each callback leads to the user, and
    /// so to the request.
    async fn taken(&self, asks: &[LinkAttempt], users: &[(Uuid, String)]) -> Vec<SentSms> {
        let by_asker: HashMap<(Uuid, &str), &LinkAttempt> = asks
            .iter()
            .map(|ask| ((users[ask.user].0, ask.number.as_str()), ask))
            .collect();
        let sends: Vec<(Uuid, Uuid)> = sqlx::query_as("select id, user_id from pigeonhole.sends")
            .fetch_all(&self.database.pool)
            .await
            .unwrap();
        let users: HashMap<Uuid, Uuid> = sends.into_iter().collect();
        let sms = self.twilio.accepted().into_iter().map(|message| {
            let callback = message.status_callback.expect("a callback");
            let (_, send) = callback.rsplit_once("send=").expect(&callback);
            // The number of Twilio's retries follows the id.
            let user = users[&send[..36].parse::<Uuid>().unwrap()];
            let ask = by_asker.get(&(user, message.to.as_str()));
            let ask = (*ask.expect("an SMS that was requested")).clone();
            SentSms { user, ask }
        });
        sms.collect()
    }

    /// The number of refusals by each limit, as the receivers count them.
    async fn refusals(&self) -> BTreeMap<String, u64> {
        let mut refusals = BTreeMap::new();
        for (receiver, _) in &self.receivers {
            let admin = receiver.addr("admin listens").await;
            let url = format!("http://{admin}/metrics");
            let metrics = client().get(url).send().await.unwrap();
            for line in metrics.text().await.unwrap().lines() {
                let name = "pigeonhole_verification_refusals_total{limit=\"";
                if let Some(rest) = line.strip_prefix(name) {
                    let (limit, count) = rest.split_once("\"} ").unwrap();
                    *refusals.entry(limit.to_owned()).or_default() += count.parse::<u64>().unwrap();
                }
            }
        }
        refusals
    }
}

/// Sends one request through a proxy that reports the client's address. Returns the status and the
/// reason.
async fn ask(
    client: &Client,
    receiver: SocketAddr,
    token: &str,
    ask: &LinkAttempt,
) -> (u16, String) {
    let request = client
        .post(format!("http://{receiver}/api/user/phone-number"))
        .bearer_auth(token)
        // The attacker can forge the values further left.
        .header("x-forwarded-for", format!("203.0.113.7, {}", ask.ip))
        .json(&json!({ "phoneNumber": ask.number }));
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let wait = response.headers().get("retry-after").cloned();
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    if let Some(wait) = &wait {
        assert!(wait.to_str().unwrap().parse::<u64>().unwrap() > 0);
    }
    let expected = match status {
        201 => ask.country.is_some(),
        400 => code == "COUNTRY_NOT_ALLOWED" && ask.country.is_none(),
        429 => code == "RATE_LIMITED" && wait.is_some() && ask.country.is_some(),
        // On such a busy machine the database may be too slow for some requests.
        503 => wait.is_some(),
        _ => false,
    };
    assert!(expected, "{status} {body} for {ask:?}");
    (status, code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests_never_exceeds_any_sms_limit() {
    let requests = requests();
    assert!(requests >= 2000, "too few to meet each limit");
    let target = FloodHarness::start().await;
    let users = target.users(requests.min(5000)).await;
    let asks = plan(requests, users.len());

    let (client, started) = (client(), Instant::now());
    let answers = stream::iter(asks.iter().enumerate()).map(|(n, it)| {
        let (_, receiver) = target.receivers[n % 2];
        let (client, token) = (client.clone(), &users[it.user].1);
        async move { ask(&client, receiver, token, it).await.0 }
    });
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let mut answers = answers.buffer_unordered(AT_ONCE);
    while let Some(status) = answers.next().await {
        *statuses.entry(status).or_default() += 1;
    }
    let took = started.elapsed();
    let rate = f64::from(u32::try_from(requests).unwrap()) / took.as_secs_f64();
    let refusals = target.refusals().await;
    println!("{requests} requests in {took:.1?}, {rate:.0} a second: {statuses:?}");
    println!("refused: {refusals:?}");
    target.database.drain().await;

    let sms = target.taken(&asks, &users).await;
    for limit in LIMITS.iter().filter(|limit| limit.window > took) {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for one in &sms {
            *counts.entry((limit.key)(one)).or_default() += 1;
        }
        let (name, most) = (limit.name, limit.most);
        let reached = counts.values().filter(|count| **count == most).count();
        println!("{name}: {} keys, {reached} of them at {most}", counts.len());
        assert!(counts.values().all(|count| *count <= most), "{name}");
        // A limit that was never reached was not tested.
        assert!(reached > 0, "{name}: {:?}", counts.values().max());
        assert!(refusals.contains_key(name), "{name}");
    }
    // A request may have been executed although its response came too late for the client.
    let late = statuses.get(&503).copied().unwrap_or_default();
    assert!((statuses[&201]..=statuses[&201] + late).contains(&sms.len()));
    assert_eq!(target.database.rows().await.dead, 0);
}
