//! `pigeonhole simulate` plays Twilio: it sends signed webhooks to a running receiver.

#![expect(
    clippy::print_stdout,
    reason = "the output that the operator asked for"
)]

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use twilio_simulator::{InboundText, SimulatorError, WebhookDelivery, WebhookSender};
use url::Url;

use crate::{
    config::{Env, LogConfig, Reader, ReceiverConfig},
    dev, telemetry,
};

#[derive(Debug, clap::Args)]
pub(super) struct SimulateArgs {
    /// The text of the message.
    #[arg(long, default_value = "Hello from #pigeonhole")]
    body: String,
    /// The sender's number.
    #[arg(long, default_value = dev::DEMO_NUMBER)]
    from: String,
    /// Attach a file of this MIME type; may be repeated.
    #[arg(long, value_name = "TYPE")]
    media: Vec<String>,
    /// Add or replace a parameter of the webhook; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    field: Vec<(String, String)>,
    /// Send this many messages, each with its own SID.
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Send this many messages a second. Without it, each message waits for the answer to the one
    /// before.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Send no webhook: the simulated Twilio at `TWILIO_API_BASE_URL` takes the messages, and
    /// their webhooks fail there.
    #[arg(long, conflicts_with_all = ["rate", "receiver"])]
    lost: bool,
    /// The receiver's URL, if it does not listen at `LISTEN_ADDR`. The signature is always for
    /// `PUBLIC_BASE_URL`.
    #[arg(long, value_name = "URL")]
    receiver: Option<String>,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("must be NAME=VALUE, such as Latitude=48.1")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number of messages a second, from 0.001 to 100000".to_owned()),
    }
}

pub(super) async fn run(env: &Env, args: SimulateArgs) -> anyhow::Result<()> {
    let (log, config) = Reader::read(env, |r| {
        let (log, config) = (LogConfig::read(r), ReceiverConfig::read(r));
        Some((log?, config?))
    })?;
    telemetry::init_logs(&log)?;
    let text = InboundText {
        from: args.from,
        body: args.body,
        media: args.media,
        fields: args.field,
    };
    if args.lost {
        return lose(&config.twilio.api_base_url, &text, args.count).await;
    }
    let receiver = args
        .receiver
        .unwrap_or_else(|| format!("http://{}", config.listen));
    let sender = dev::webhook_sender(&config, &receiver)?;
    let deliveries = match args.rate {
        None => one_by_one(&sender, &text, args.count).await,
        Some(rate) => paced(&sender, &text, args.count, rate).await,
    }?;
    summarise(&deliveries)
}

/// Has the simulated Twilio take messages that reach nobody.
async fn lose(api_base_url: &Url, text: &InboundText, count: u32) -> anyhow::Result<()> {
    for _ in 0..count {
        let sid = twilio_simulator::take_lost_text(api_base_url, text)
            .await
            .context("TWILIO_API_BASE_URL must be the address of a simulated Twilio")?;
        if count <= 10 {
            println!("{sid}  lost");
        }
    }
    println!("{count} × no webhook; the simulated Twilio lists them");
    Ok(())
}

async fn one_by_one(
    sender: &WebhookSender,
    text: &InboundText,
    count: u32,
) -> anyhow::Result<Vec<WebhookDelivery>> {
    let mut deliveries = Vec::new();
    for _ in 0..count {
        let delivery = sender.deliver(text).await?;
        if count <= 10 {
            let WebhookDelivery {
                message_sid,
                status,
                took,
            } = &delivery;
            println!(
                "{message_sid}  HTTP {status}  {:.1} ms",
                took.as_secs_f64() * 1000.0
            );
        }
        deliveries.push(delivery);
    }
    Ok(deliveries)
}

async fn paced(
    sender: &WebhookSender,
    text: &InboundText,
    count: u32,
    rate: f64,
) -> anyhow::Result<Vec<WebhookDelivery>> {
    let mut clock = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst); // keeps the average rate
    let mut running = JoinSet::new();
    for _ in 0..count {
        clock.tick().await;
        let (sender, text) = (sender.clone(), text.clone());
        running.spawn(async move { sender.deliver(&text).await });
    }
    let delivered: Result<_, SimulatorError> = running.join_all().await.into_iter().collect();
    Ok(delivered?)
}

fn summarise(deliveries: &[WebhookDelivery]) -> anyhow::Result<()> {
    let mut by_status: BTreeMap<u16, usize> = BTreeMap::new();
    for delivery in deliveries {
        *by_status.entry(delivery.status).or_default() += 1;
    }
    let mut took: Vec<_> = deliveries.iter().map(|delivery| delivery.took).collect();
    took.sort_unstable();
    let at = |percent: usize| {
        let index = (took.len() * percent / 100).min(took.len().saturating_sub(1));
        took.get(index).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    let counts: Vec<_> = by_status
        .iter()
        .map(|(status, count)| format!("{count} × HTTP {status}"))
        .collect();
    println!(
        "{}; p50 {:.1} ms, p99 {:.1} ms",
        counts.join(", "),
        at(50),
        at(99)
    );
    let refused = deliveries.iter().find(|delivery| delivery.status != 200);
    let refused = refused.map(|delivery| delivery.status);
    match refused {
        None => Ok(()),
        Some(status) => Err(anyhow::anyhow!("not all were accepted")).with_context(|| match status {
            403 => "the receiver found the signature wrong: does it have the same TWILIO_AUTH_TOKEN and PUBLIC_BASE_URL?",
            503 => "the receiver has no database, or it is not migrated",
            _ => "see the receiver's log for the reason",
        }),
    }
}
