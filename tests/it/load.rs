//! A steady stream of messages, and a record of which ones the receiver accepted.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use twilio_simulator::{SimulatorError, WebhookDelivery, WebhookSender};

use crate::{
    app::text,
    database::{Database, NUMBER},
};

/// A message body that creates three items.
pub(crate) const BODY: &str = "Met Ana #here #there";
const ITEMS: i64 = 3;

/// Senders that continue until they are stopped, whatever the receiver responds.
pub(crate) struct MessageLoad {
    answered: Arc<Mutex<DeliveryResults>>,
    held: Arc<watch::Sender<bool>>,
    stop: CancellationToken,
    senders: JoinSet<()>,
}

/// How the receiver responded to the messages.
#[derive(Debug, Default, Clone)]
pub(crate) struct DeliveryResults {
    /// The SIDs of the messages that got a 200.
    pub(crate) accepted: Vec<String>,
    /// The number of messages that got another response or none.
    pub(crate) refused: usize,
}

impl DeliveryResults {
    fn note(&mut self, delivery: Result<WebhookDelivery, SimulatorError>) {
        match delivery {
            Ok(delivery) if delivery.status == 200 => self.accepted.push(delivery.message_sid),
            Ok(_) | Err(_) => self.refused += 1,
        }
    }
}

impl MessageLoad {
    /// Starts `senders` senders. Each pauses shortly after each response.
    pub(crate) fn start(twilio: &WebhookSender, senders: usize) -> Self {
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

    /// A switch with which a monitor of the backlog can pause the senders.
    pub(crate) fn held(&self) -> Arc<watch::Sender<bool>> {
        self.held.clone()
    }

    /// The number of messages that the receiver has accepted so far.
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
    /// Waits until no job is left. Then every accepted message must have each of its items exactly
    /// once, and there must be no dead letter. Messages that were stored without a response count
    /// too.
    pub(crate) async fn assert_nothing_is_lost(&self, accepted: &[String]) {
        self.drain().await;
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
