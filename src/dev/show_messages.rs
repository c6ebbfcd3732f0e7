//! Prints the result of each message on the terminal.

#![expect(
    clippy::print_stdout,
    reason = "`dev` prints for the person who started it"
)]

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use queue::PooledConnection;
use store::{
    enrichment_items::{self, item_id},
    inbound_messages::{self, EndedMessage},
    media,
};
use twilio_simulator::SimulatedApi;

/// The pause between two queries.
const PAUSE: Duration = Duration::from_millis(100);

/// More items than one message makes.
const MOST_ITEMS: u32 = 200;

/// Each query looks back this far. A message whose transaction took long becomes visible after
/// messages that ended later.
const OVERLAP: TimeDelta = TimeDelta::seconds(1);

/// Prints each SMS that goes out. It never returns. The terminal stands in for the phone.
pub(super) async fn show_sms(api: &SimulatedApi) {
    let mut seen = 0;
    loop {
        let new = api.accepted_after(seen).await;
        seen += new.len();
        for message in new {
            println!("SMS to {}: {}", message.to, message.body);
        }
    }
}

/// Prints the messages that end after its start.
pub(super) struct MessagePrinter {
    conn: PooledConnection,
    since: DateTime<Utc>,
    shown: HashSet<String>,
}

impl MessagePrinter {
    pub(super) async fn start(pool: &queue::Pool) -> anyhow::Result<Self> {
        let mut conn = pool.acquire().await?;
        let since = store::now(&mut conn).await?;
        Ok(Self {
            conn,
            since,
            shown: HashSet::new(),
        })
    }

    /// Prints messages until all of these were printed. It also prints messages of an earlier run
    /// that end now.
    pub(super) async fn show_until(&mut self, mut awaited: HashSet<String>) -> anyhow::Result<()> {
        while !awaited.is_empty() {
            for message_sid in self.show_new().await? {
                awaited.remove(&message_sid);
            }
        }
        Ok(())
    }

    /// Prints messages until an error.
    pub(super) async fn show_on(&mut self) -> anyhow::Result<()> {
        loop {
            self.show_new().await?;
        }
    }

    /// Queries once, prints the new messages and returns their SIDs. It pauses if no more are
    /// ready.
    async fn show_new(&mut self) -> anyhow::Result<Vec<String>> {
        let ended = inbound_messages::ended_since(&mut self.conn, self.since).await?;
        let mut new = Vec::new();
        for message in &ended {
            if self.shown.insert(message.message_sid.clone()) {
                self.show_one(message).await?;
                new.push(message.message_sid.clone());
            }
        }
        match ended.last() {
            Some(last) if last.finished_at - OVERLAP > self.since => {
                self.since = last.finished_at - OVERLAP;
                self.shown
                    .retain(|sid| ended.iter().any(|message| message.message_sid == *sid));
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
        Ok(new)
    }

    async fn show_one(&mut self, message: &EndedMessage) -> anyhow::Result<()> {
        let mut items = enrichment_items::of_message(&mut self.conn, &message.message_sid).await?;
        let took = message.finished_at - message.received_at;
        let state = message.state.as_str();
        println!(
            "{}  {state} in {} ms",
            message.message_sid,
            took.num_milliseconds()
        );
        for file in media::of_message(&mut self.conn, &message.message_sid).await? {
            let kind = file.content_type.as_deref().unwrap_or("a file");
            let state = file.state.label();
            println!("    file {}: {kind}, {state}", file.position);
        }
        // The order of the message's text.
        items.sort_by_key(|item| {
            (0..MOST_ITEMS).find(|at| item_id(&message.message_sid, *at) == item.id)
        });
        for item in items {
            let field = item
                .field_name
                .map(|name| format!(" / {name}"))
                .unwrap_or_default();
            let value = item.value.replace('\n', "\n        ");
            println!("    {}{field}: {value}", item.item_type);
        }
        Ok(())
    }
}
