//! A steady stream of messages, and the account of what was promised.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use pigeonhole::dev::twilio::{Delivery, SimulatedTwilio};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    app::text,
    database::{Database, NUMBER},
};

/// Makes three items.
const BODY: &str = "Met Ana #here #there";
const ITEMS: i64 = 3;

/// Senders that go on until they are stopped, whatever they are answered.
pub(crate) struct MessageLoad {
    answered: Arc<Mutex<DeliveryResults>>,
    held: Arc<watch::Sender<bool>>,
    stop: CancellationToken,
    senders: JoinSet<()>,
}

/// What became of the messages.
#[derive(Debug, Default, Clone)]
pub(crate) struct DeliveryResults {
    /// The SIDs of those answered 200.
    pub(crate) accepted: Vec<String>,
    /// How many were answered otherwise, or not at all.
    pub(crate) refused: usize,
}

impl DeliveryResults {
    fn note(&mut self, delivery: anyhow::Result<Delivery>) {
        match delivery {
            Ok(delivery) if delivery.status == 200 => self.accepted.push(delivery.message_sid),
            Ok(_) | Err(_) => self.refused += 1,
        }
    }
}

impl MessageLoad {
    /// `senders` at a time, each with a short pause after each answer.
    pub(crate) fn start(twilio: &SimulatedTwilio, senders: usize) -> Self {
        let mut load = Self {
            answered: Arc::default(),
            held: Arc::default(),
            stop: CancellationToken::new(),
            senders: JoinSet::new(),
        };
        for _ in 0..senders {
            let (twilio, stop) = (twilio.clone(), load.stop.clone());
            let (answered, mut held) = (load.answered.clone(), load.held.subscribe());
            load.senders.spawn(async move {
                loop {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => break,
                        _ = held.wait_for(|held| !held) => {}
                    }
                    let delivery = twilio.deliver(&text(NUMBER, BODY)).await;
                    answered.lock().unwrap().note(delivery);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        load
    }

    /// Where somebody who watches the backlog can hold the senders.
    pub(crate) fn held(&self) -> Arc<watch::Sender<bool>> {
        self.held.clone()
    }

    /// How many messages were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.answered.lock().unwrap().accepted.len()
    }

    pub(crate) async fn finish(self) -> DeliveryResults {
        self.stop.cancel();
        self.senders.join_all().await;
        let answered = self.answered.lock().unwrap();
        answered.clone()
    }
}

impl Database {
    /// Waits until no job is left; then every accepted message must have its items, all of them once, and no job may
    /// have died. Messages that were stored without being answered for count too.
    pub(crate) async fn assert_nothing_is_lost(&self, accepted: &[String]) {
        self.wait_until_idle().await;
        let wrong: Vec<(String, String, i64)> = sqlx::query_as(
            "select sid, coalesce(state, 'missing'), count(i.id)
             from (select unnest($1::text[]) as sid union select message_sid from pigeonhole.inbound_messages) as s
             left join pigeonhole.inbound_messages m on m.message_sid = sid
             left join enrichment_items i on i.source_metadata ->> 'message_sid' = sid
             group by sid, state having state is distinct from 'processed' or count(i.id) <> $2",
        )
        .bind(accepted)
        .bind(ITEMS)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        assert!(wrong.is_empty(), "SID, state, items: {wrong:?}");
        let rows = self.rows().await;
        assert_eq!(rows.items, rows.messages * ITEMS);
        assert_eq!(rows.dead, 0);
    }
}
