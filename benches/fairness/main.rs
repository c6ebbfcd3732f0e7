//! `cargo bench -p pigeonhole --bench fairness` measures how one sender's backlog of 100,000
//! messages delays another sender's messages, from webhook to items by the database's clock. All
//! parts are real and run on one machine.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark's output; a failure may end it"
)]

#[path = "../common/setup.rs"]
mod setup;

use std::{sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusBuilder;
use pigeonhole::{
    config::{Reader, WEBHOOK_PATH},
    services::{Role, Services, ServicesConfig},
};
use sqlx::PgPool;
use store::{
    E164, Keyring,
    inbound_messages::{self, Acceptance, NewMessage},
    user_phone_numbers, users,
};
use tokio_util::sync::CancellationToken;
use twilio_simulator::{InboundText, MAGIC_NUMBER, SimulatedAccount, WebhookSender};
use uuid::Uuid;

use setup::{ACCOUNT, BenchServer, PUBLIC, TOKEN, env};

const BACKLOG: usize = 100_000;
const MESSAGES: usize = 300;
const FLOODER: &str = "+12025550101";
const OTHER: &str = "+12025550102";

#[tokio::main]
async fn main() {
    let server = BenchServer::start().await;
    let (url, pool) = server.database("bench").await;

    let env = env(&url);
    let config = Reader::read(&env, |r| ServicesConfig::read(r, Role::Both)).unwrap();
    let keyring = config.keyring.clone();
    link(&pool, &keyring).await;
    let stop = CancellationToken::new();
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let services = Services::start(config, metrics, stop.clone())
        .await
        .unwrap();
    let target = format!("http://{}", services.receiver_addr.unwrap());
    let twilio = webhook_sender(&target);

    send(&twilio).await; // warms everything up
    let idle = measure(&twilio, &pool).await;
    flood(&pool, &keyring).await;
    let beside = measure(&twilio, &pool).await;
    let left: i64 = sqlx::query_scalar("select count(*) from queue.jobs")
        .fetch_one(&pool)
        .await
        .unwrap();

    println!("| webhook to items | p50 | p99 |\n| --- | --- | --- |");
    println!("| idle | {:.1} ms | {:.1} ms |", idle.0, idle.1);
    println!(
        "| beside another sender's {BACKLOG} | {:.1} ms | {:.1} ms |",
        beside.0, beside.1
    );
    println!(
        "| times | {:.1} | {:.1} |",
        beside.0 / idle.0,
        beside.1 / idle.1
    );
    println!("\n{left} jobs of the backlog were left when the last was measured");
    stop.cancel();
    services.finished().await.unwrap();
}

fn webhook_sender(receiver: &str) -> WebhookSender {
    let account = SimulatedAccount {
        sid: ACCOUNT.parse().unwrap(),
        auth_token: TOKEN.into(),
        keys: Vec::new(),
        number: MAGIC_NUMBER.to_owned(),
        public_base_url: PUBLIC.to_owned(),
        webhook_path: WEBHOOK_PATH.to_owned(),
    };
    // No message of this benchmark has a file, so the worker never calls this API.
    let api_base_url = "http://127.0.0.1:9".parse().unwrap();
    WebhookSender::new(&account, &api_base_url, receiver).unwrap()
}

async fn link(pool: &PgPool, keyring: &Keyring) {
    let mut conn = pool.acquire().await.unwrap();
    for (user, number) in [(1, FLOODER), (2, OTHER)] {
        let (user, number) = (Uuid::from_u128(user), E164::parse(number).unwrap());
        users::ensure(&mut conn, user).await.unwrap();
        user_phone_numbers::link(&mut conn, keyring, user, &number)
            .await
            .unwrap();
    }
}

async fn send(twilio: &WebhookSender) -> String {
    let text = InboundText {
        from: OTHER.to_owned(),
        body: "Lunch with Bo #friends".to_owned(),
        ..InboundText::default()
    };
    let delivery = twilio.deliver(&text).await.unwrap();
    assert_eq!(delivery.status, 200);
    delivery.message_sid
}

/// Returns the median and the 99th percentile of the other sender's messages, in milliseconds.
async fn measure(twilio: &WebhookSender, pool: &PgPool) -> (f64, f64) {
    let mut sids = Vec::new();
    for n in 0..MESSAGES {
        sids.push(send(twilio).await);
        // Vary the pause, so that sends do not fall in step with the worker's timers.
        tokio::time::sleep(Duration::from_millis(15 + (n as u64 * 7) % 23)).await;
    }
    loop {
        let took: Vec<f64> = sqlx::query_scalar(
            "select extract(epoch from finished_at - received_at)::float8 * 1000
             from pigeonhole.inbound_messages
             where message_sid = any($1) and finished_at is not null order by 1",
        )
        .bind(&sids)
        .fetch_all(pool)
        .await
        .unwrap();
        if took.len() == MESSAGES {
            return (took[MESSAGES / 2], took[MESSAGES * 99 / 100]);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Inserts the flooder's messages as the receiver does, a thousand per commit.
async fn flood(pool: &PgPool, keyring: &Arc<Keyring>) {
    let mut conn = pool.acquire().await.unwrap();
    for batch in 0..BACKLOG / 1000 {
        let acceptances: Vec<Acceptance> = (0..1000)
            .map(|n| acceptance(keyring, batch * 1000 + n))
            .collect();
        inbound_messages::accept_all(&mut conn, &acceptances)
            .await
            .unwrap();
    }
}

fn acceptance(keyring: &Keyring, number: usize) -> Acceptance {
    let sid = format!("SM{number:032x}");
    let fields = [
        ("MessageSid", sid.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", FLOODER),
        ("To", "+15005550006"),
        ("Body", "flood"),
    ];
    let message = NewMessage {
        message_sid: sid.clone(),
        account_sid: ACCOUNT.to_owned(),
        sender: FLOODER.to_owned(),
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    Acceptance {
        message: message.seal(keyring).unwrap(),
        trace: None,
    }
}
