//! `dev`: everything in one process, to see it work. No account and no configuration are needed.
//!
//! The database is kept between runs; `kill -9` leaves nothing running.

mod demo;
mod environment;
mod samples;
pub mod twilio;
mod watch;

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use embedded_postgres::{Server, Settings};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    config::{LogConfig, Reader, ReceiverConfig, TracesConfig},
    database, metrics,
    services::{Role, Services, ServicesConfig},
    shutdown, telemetry,
};
use demo::Demo;
use environment::Environment;
use twilio::{Account, SimulatedApi, SimulatedTwilio};
use watch::Watch;

/// The number of the demo user, from the range kept for fiction.
pub const DEMO_NUMBER: &str = "+12025550123";

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
    /// Where the demo page is served [default: 127.0.0.1:3001, or another port if that is in use]
    #[arg(long, value_name = "IP:PORT")]
    demo_addr: Option<SocketAddr>,
}

/// Runs until a signal, or with `--once` until the samples have been shown.
pub(crate) async fn run(args: Args, mut flags: BTreeMap<String, String>) -> anyhow::Result<()> {
    let stop = shutdown::on_signal().context("cannot watch for signals")?;
    let environment = Environment::open(args.data_dir)?;
    say("starting Postgres");
    let postgres_dir = environment.dir.join("postgres");
    let server =
        tokio::task::spawn_blocking(move || Server::start_kept(&postgres_dir, Settings::default()))
            .await?
            .context("the embedded Postgres does not start")?;
    let database_url = server.ensure_database("pigeonhole").await?;
    let demo = Demo::bind(args.demo_addr).await?;
    let demo_url = demo.url();
    let api = SimulatedApi::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    if let Some(others) = flags.get_mut("CORS_ALLOWED_ORIGINS") {
        *others = format!("{others},{}", demo.origins());
    }
    let of_this_run = [
        ("DATABASE_URL", database_url.clone()),
        ("TWILIO_API_BASE_URL", api.base_url()),
        ("MEDIA_EXTRA_HOSTS", api.addr().to_string()),
        ("MEDIA_STORE", environment.media_store()?),
        ("CORS_ALLOWED_ORIGINS", demo.origins()),
    ];
    let env = environment.complete(of_this_run, flags)?;
    let (log, traces, config, receiver, secret) = Reader::read(&env, |r| {
        let (log, traces) = (LogConfig::read(r), TracesConfig::read(r));
        let config = ServicesConfig::read(r, Role::Both);
        let (receiver, secret) = (ReceiverConfig::read(r), demo::secret(r));
        Some((log?, traces?, config?, receiver?, secret?))
    })?;
    let traces = telemetry::init_logs_and_traces(&log, traces).await?;
    let metrics = metrics::install()?;

    let services_stop = CancellationToken::new();
    let pool = database::pool(&config.database);
    store::migrate(&pool)
        .await
        .context("the migrations were not applied")?;
    samples::link_demo_user(&pool, &config.keyring).await?;
    // It outlasts the services, which may still send while they stop.
    let twilio_stop = CancellationToken::new();
    let target = reachable(receiver.listen);
    let api = api.serve(Account::of(&receiver)?, twilio_stop.clone())?;
    api.connect(&target);
    let services = Services::start(config, metrics, services_stop.clone()).await?;
    let mut watch = Watch::start(&pool).await?;
    let twilio = SimulatedTwilio::new(&receiver, &target)?;
    let parts = demo::Parts {
        pool: pool.clone(),
        secret,
        api: target,
        our_number: receiver
            .twilio
            .phone_number
            .map(|number| number.as_str().to_owned()),
        twilio: twilio.clone(),
        phones: api.clone(),
    };
    let demo = tokio::spawn(demo.serve(parts, services_stop.clone()));

    say("a simulated Twilio sends a few texts\n");
    let sent = deliver_samples(&twilio).await?;
    timeout(SAMPLES_DEADLINE, watch.show_until(sent))
        .await
        .context("the samples were not processed in time; see the log above")??;
    if !args.once {
        let admin = services.admin_addr;
        print_what_next(
            &environment,
            &demo_url,
            &database_url,
            receiver.listen,
            api.addr(),
            admin,
        );
        tokio::select! {
            () = stop.cancelled() => {}
            result = watch.show_on() => result?,
            () = watch::show_sms(&api) => {}
        }
    }
    say("stopping");
    services_stop.cancel();
    demo.await??;
    drop(watch);
    pool.close().await;
    services.finished().await?;
    traces.end().await;
    twilio_stop.cancel();
    tokio::task::spawn_blocking(move || drop(server)).await?;
    say("stopped; the database is kept for the next run");
    Ok(())
}

/// The URL under which something on this machine reaches a listener, which may listen everywhere.
fn reachable(mut addr: SocketAddr) -> String {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{addr}")
}

/// Delivers the samples, and answers their SIDs.
async fn deliver_samples(twilio: &SimulatedTwilio) -> anyhow::Result<HashSet<String>> {
    let mut sent = HashSet::new();
    for text in samples::texts() {
        let delivery = twilio.deliver(&text).await?;
        anyhow::ensure!(
            delivery.status == 200,
            "the receiver answered HTTP {}",
            delivery.status
        );
        sent.insert(delivery.message_sid);
    }
    Ok(sent)
}

fn print_what_next(
    environment: &Environment,
    demo_url: &str,
    database_url: &str,
    listen: SocketAddr,
    twilio: SocketAddr,
    admin: SocketAddr,
) {
    let env_file = environment.env_file();
    let env_file = env_file.display();
    say(&format!(
        "\n\
         demo page  {demo_url}   link a number there: its phone is on the page\n\
         receiver   http://{listen}/api/sms/webhook   health http://{listen}/readyz\n\
         Twilio     http://{twilio}   simulated; docs/simulated-twilio.md says how to make it misbehave\n\
         operator   http://{admin}/   what wants attention; metrics http://{admin}/metrics\n\
         database   psql \"{database_url}\"\n\
         \n\
         Try, in another terminal:\n\
         \x20 cargo run -q -- --env-file {env_file} simulate --body 'Lunch with Bo #friends'\n\
         \x20 cargo run -q -- --env-file {env_file} simulate --count 1000 --rate 200\n\
         \x20 cargo run -q -- --env-file {env_file} phone-numbers list\n\
         What comes of each message shows here, and so does each SMS that goes out, with its code.\n\
         Ctrl-C stops everything; the database is kept.\n",
    ));
}

#[expect(
    clippy::print_stdout,
    reason = "`dev` talks to the person who started it"
)]
fn say(text: &str) {
    println!("{text}");
}
