//! `dev`: everything in one process, to see it work. No account and no configuration are needed.
//!
//! The database is kept between runs; `kill -9` leaves nothing running.

mod environment;
pub mod twilio;
mod watch;

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use embedded_postgres::{Server, Settings};
use sqlx::PgPool;
use store::{E164, Keyring, user_phone_numbers, users};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    config::{LogConfig, Reader, ReceiverConfig},
    database,
    services::{Role, Services, ServicesConfig},
    shutdown, telemetry,
};
use environment::Environment;
use twilio::{SimulatedTwilio, Text};
use watch::Watch;

/// The number of the demo user, from the range kept for fiction.
pub const DEMO_NUMBER: &str = "+12025550123";

/// A number that nobody has linked.
const STRANGER: &str = "+12025550199";

/// The demo user.
const DEMO_USER: Uuid = Uuid::from_u128(0x0de3_0000_0000_4000_8000_0000_0000_0001);

/// How long the samples may take before something is wrong.
const SAMPLES_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the database is kept between runs [default: /var/lib/pigeonhole-dev for root, else
    /// ~/.local/state/pigeonhole-dev]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Stop once the sample messages have been shown.
    #[arg(long)]
    once: bool,
}

/// Runs until a signal, or with `--once` until the samples have been shown.
pub(crate) async fn run(args: Args, flags: BTreeMap<String, String>) -> anyhow::Result<()> {
    let stop = shutdown::on_signal().context("cannot watch for signals")?;
    let environment = Environment::open(args.data_dir)?;
    say("starting Postgres");
    let postgres_dir = environment.dir.join("postgres");
    let server =
        tokio::task::spawn_blocking(move || Server::start_kept(&postgres_dir, Settings::default()))
            .await?
            .context("the embedded Postgres does not start")?;
    let database_url = server.ensure_database("pigeonhole").await?;
    let env = environment.complete(&database_url, flags)?;
    let (log, config, receiver) = Reader::read(&env, |r| {
        let (log, config) = (LogConfig::read(r), ServicesConfig::read(r, Role::Both));
        let receiver = ReceiverConfig::read(r);
        Some((log?, config?, receiver?))
    })?;
    telemetry::init_logs(&log)?;
    let metrics = telemetry::init_metrics()?;

    let services_stop = CancellationToken::new();
    let keyring = config.keyring.clone();
    let pool = database::pool(&config.database);
    store::migrate(&pool)
        .await
        .context("the migrations were not applied")?;
    link_demo_user(&pool, &keyring).await?;
    let services = Services::start(config, metrics, services_stop.clone()).await?;
    let mut watch = Watch::start(&pool).await?;

    let target = format!("http://{}", receiver.listen);
    let twilio = SimulatedTwilio::new(&receiver, &target)?;
    say("a simulated Twilio sends a few texts\n");
    let mut sent = HashSet::new();
    for text in samples() {
        let delivery = twilio.deliver(&text).await?;
        anyhow::ensure!(
            delivery.status == 200,
            "the receiver answered HTTP {}",
            delivery.status
        );
        sent.insert(delivery.message_sid);
    }
    timeout(SAMPLES_DEADLINE, watch.show_until(sent))
        .await
        .context("the samples were not processed in time; see the log above")??;
    if !args.once {
        print_what_next(&environment, &database_url, &receiver, services.admin_addr);
        tokio::select! {
            () = stop.cancelled() => {}
            result = watch.show_on() => result?,
        }
    }
    say("stopping");
    drop(watch);
    pool.close().await;
    services_stop.cancel();
    services.finished().await?;
    tokio::task::spawn_blocking(move || drop(server)).await?;
    say("stopped; the database is kept for the next run");
    Ok(())
}

async fn link_demo_user(pool: &PgPool, keyring: &Keyring) -> anyhow::Result<()> {
    let mut conn = pool.acquire().await?;
    let number = E164::parse(DEMO_NUMBER).context("the demo number is no number")?;
    users::ensure(&mut conn, DEMO_USER).await?;
    user_phone_numbers::link(&mut conn, keyring, DEMO_USER, &number).await?;
    Ok(())
}

/// One message of each kind that is handled differently.
fn samples() -> Vec<Text> {
    let text = |from: &str, body: &str| Text {
        from: from.to_owned(),
        body: body.to_owned(),
        ..Text::default()
    };
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        text(DEMO_NUMBER, "Met Ana at #RustConf, she builds #databases"),
        Text {
            fields: vec![
                field("Latitude", "52.5163"),
                field("Longitude", "13.3777"),
                field("Label", "Brandenburg Gate"),
            ],
            ..text(DEMO_NUMBER, "We meet here on Friday")
        },
        Text {
            media: vec!["image/jpeg".to_owned()],
            ..text(DEMO_NUMBER, "Her card #contact")
        },
        text(STRANGER, "Nobody has linked this number"),
    ]
}

fn print_what_next(
    environment: &Environment,
    database_url: &str,
    receiver: &ReceiverConfig,
    admin: std::net::SocketAddr,
) {
    let env_file = environment.env_file();
    let env_file = env_file.display();
    say(&format!(
        "\n\
         receiver   http://{listen}/api/sms/webhook   health http://{listen}/readyz\n\
         metrics    http://{admin}/metrics\n\
         database   psql \"{database_url}\"\n\
         \n\
         Try, in another terminal:\n\
         \x20 cargo run -q -- --env-file {env_file} simulate --body 'Lunch with Bo #friends'\n\
         \x20 cargo run -q -- --env-file {env_file} simulate --count 1000 --rate 200\n\
         \x20 cargo run -q -- --env-file {env_file} phone-numbers list\n\
         What comes of each message shows here. Ctrl-C stops everything; the database is kept.\n",
        listen = receiver.listen,
    ));
}

#[expect(
    clippy::print_stdout,
    reason = "`dev` talks to the person who started it"
)]
fn say(text: &str) {
    println!("{text}");
}
