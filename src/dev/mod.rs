//! `pigeonhole dev` runs everything in one process, to show Pigeonhole at work. It needs no Twilio
//! account and no configuration.
//!
//! It keeps the database between runs. After a `kill -9`, no process of it goes on running.

mod account;
mod demo;
mod demo_user;
mod environment;
mod samples;
mod show_messages;

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use embedded_postgres::{PostgresServer, PostgresSettings};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use twilio_simulator::{SimulatedApi, WebhookSender};

use crate::{
    config::{LogConfig, Reader, ReceiverConfig, TracesConfig},
    database, metrics,
    services::{Role, Services, ServicesConfig},
    shutdown, telemetry,
};
use account::simulated_account;
pub(crate) use account::webhook_sender;
use demo::DemoServer;
pub(crate) use demo_user::DEMO_NUMBER;
use environment::DevEnvironment;
use show_messages::MessagePrinter;

/// The longest time that the sample messages may take.
const SAMPLES_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct DevArgs {
    /// Keep the database in this directory between runs [default: /var/lib/pigeonhole-dev for root,
    /// else ~/.local/state/pigeonhole-dev]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Stop after the sample messages.
    #[arg(long)]
    once: bool,
    /// Serve the demo page at this address [default: 127.0.0.1:3001, or another port if that is in
    /// use]
    #[arg(long, value_name = "IP:PORT")]
    demo_addr: Option<SocketAddr>,
}

/// Runs until a signal, or with `--once` until the sample messages were shown.
pub(crate) async fn run(args: DevArgs, mut flags: BTreeMap<String, String>) -> anyhow::Result<()> {
    let stop = shutdown::on_signal().context("cannot watch for signals")?;
    let environment = DevEnvironment::open(args.data_dir)?;
    say("starting Postgres");
    let postgres_dir = environment.dir.join("postgres");
    let server = tokio::task::spawn_blocking(move || {
        PostgresServer::start_kept(&postgres_dir, PostgresSettings::default())
    })
    .await?
    .context("the embedded Postgres does not start")?;
    let database_url = server.ensure_database("pigeonhole").await?;
    let demo = DemoServer::bind(args.demo_addr).await?;
    let demo_url = demo.url();
    let api = SimulatedApi::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    if let Some(others) = flags.get_mut("CORS_ALLOWED_ORIGINS") {
        *others = format!("{others},{}", demo.origins());
    }
    let run_settings = [
        ("DATABASE_URL", database_url.clone()),
        ("TWILIO_API_BASE_URL", api.base_url()),
        ("MEDIA_EXTRA_HOSTS", api.addr().to_string()),
        ("MEDIA_STORE", environment.media_store()?),
        ("CORS_ALLOWED_ORIGINS", demo.origins()),
    ];
    let env = environment.complete(run_settings, flags)?;
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
    store::migrate_on(&mut *pool.acquire().await?)
        .await
        .context(
            "the migrations were not applied; if an earlier commit made this database, delete the \
         directory of --data-dir, which `pigeonhole dev --help` names",
        )?;
    samples::link_demo_user(&pool, &config.keyring).await?;
    // The simulated Twilio stops after the services, which may still send while they stop.
    let twilio_stop = CancellationToken::new();
    let receiver_url = local_url(receiver.listen);
    let api = api.serve(simulated_account(&receiver)?, twilio_stop.clone())?;
    api.connect(&receiver_url);
    let services = Services::start(config, metrics, services_stop.clone()).await?;
    let mut printer = MessagePrinter::start(&pool).await?;
    let sender = api.webhook_sender(&receiver_url);
    let parts = demo::DemoParts {
        pool: pool.clone(),
        secret,
        receiver: receiver_url,
        our_number: receiver
            .twilio
            .phone_number
            .map(|number| number.as_str().to_owned()),
        sender: sender.clone(),
        phones: api.clone(),
    };
    let demo = tokio::spawn(demo.serve(parts, services_stop.clone()));

    say("a simulated Twilio sends a few texts\n");
    let sent = deliver_samples(&sender).await?;
    timeout(SAMPLES_DEADLINE, printer.show_until(sent))
        .await
        .context("the sample messages were not processed in time; see the log above")??;
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
            result = printer.show_on() => result?,
            () = show_messages::show_sms(&api) => {}
        }
    }
    say("stopping");
    services_stop.cancel();
    demo.await??;
    drop(printer);
    pool.close().await;
    services.finished().await?;
    traces.end().await;
    twilio_stop.cancel();
    tokio::task::spawn_blocking(move || drop(server)).await?;
    say("stopped; the next run uses the same database");
    Ok(())
}

/// The URL of a listener for clients on this machine. The listener may listen on all addresses.
fn local_url(mut addr: SocketAddr) -> String {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{addr}")
}

/// Delivers the sample messages and returns their SIDs.
async fn deliver_samples(sender: &WebhookSender) -> anyhow::Result<HashSet<String>> {
    let mut sent = HashSet::new();
    for text in samples::texts() {
        let delivery = sender.deliver(&text).await?;
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
    environment: &DevEnvironment,
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
         demo page  {demo_url}   link a number there; the page also shows its phone\n\
         receiver   http://{listen}/api/sms/webhook   health http://{listen}/readyz\n\
         Twilio     http://{twilio}   simulated; docs/simulated-twilio.md describes how to make it fail\n\
         operator   http://{admin}/   problems that need attention; metrics http://{admin}/metrics\n\
         database   psql \"{database_url}\"\n\
         \n\
         Try, in another terminal:\n\
         \x20 cargo run -q --features dev -- --env-file {env_file} simulate --body 'Lunch with Bo #friends'\n\
         \x20 cargo run -q --features dev -- --env-file {env_file} simulate --count 1000 --rate 200\n\
         \x20 cargo run -q --features dev -- --env-file {env_file} phone-numbers list\n\
         This terminal shows the result of each message and each SMS that goes out, with its code.\n\
         Ctrl-C stops everything and keeps the database.\n",
    ));
}

#[expect(
    clippy::print_stdout,
    reason = "`dev` prints for the person who started it"
)]
fn say(text: &str) {
    println!("{text}");
}
