//! Shows on the terminal what came of each message, as it ends.

#![expect(
    clippy::print_stdout,
    reason = "`dev` talks to the person who started it"
)]

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Postgres, pool::PoolConnection};
use store::{
    enrichment_items::{self, item_id},
    inbound_messages::{self, Ended},
    media,
};

use super::twilio::SimulatedApi;

/// How often to look.
const PAUSE: Duration = Duration::from_millis(100);

/// More than a message makes.
const MOST_ITEMS: u32 = 200;

/// How far to look back for messages whose transaction took longer than their neighbours'.
const OVERLAP: TimeDelta = TimeDelta::seconds(1);

/// Shows each SMS that goes out, for as long as it is polled: whoever watches has no other phone.
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

/// Looks for messages that have ended since it was started.
pub(super) struct Watch {
    conn: PoolConnection<Postgres>,
    since: DateTime<Utc>,
    shown: HashSet<String>,
}

impl Watch {
    pub(super) async fn start(pool: &sqlx::PgPool) -> anyhow::Result<Self> {
        let mut conn = pool.acquire().await?;
        let since = store::now(&mut conn).await?;
        Ok(Self {
            conn,
            since,
            shown: HashSet::new(),
        })
    }

    /// Shows what ends until all of these have been shown. Others may come between: an earlier run may have left some.
    pub(super) async fn show_until(&mut self, mut awaited: HashSet<String>) -> anyhow::Result<()> {
        while !awaited.is_empty() {
            for message_sid in self.show_new().await? {
                awaited.remove(&message_sid);
            }
        }
        Ok(())
    }

    /// Shows what ends, for as long as it is polled.
    pub(super) async fn show_on(&mut self) -> anyhow::Result<()> {
        loop {
            self.show_new().await?;
        }
    }

    /// Looks once, shows what is new, and answers what that was; pauses if there is no more.
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

    async fn show_one(&mut self, message: &Ended) -> anyhow::Result<()> {
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
        // In the order of the message.
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
