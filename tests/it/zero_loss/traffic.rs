//! People who send texts at a steady rate, whatever happens to the webhooks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use twilio_simulator::{InboundText, WebhookSender};

use crate::app::text;

/// One text of each kind. All of them make items.
pub(super) fn kinds(from: &str) -> [(&'static str, InboundText); 3] {
    let with = |media: &str| InboundText {
        media: vec![media.to_owned()],
        ..text(from, "Met Ana #here")
    };
    [
        ("text", text(from, "Met Ana #here #there")),
        ("picture", with("image/png")),
        ("card", with("text/vcard")),
    ]
}

/// The kind of the n-th text: every tenth one has a file.
fn kind_of(n: usize) -> usize {
    match n % 20 {
        7 => 1,
        17 => 2,
        _ => 0,
    }
}

/// The texts that are being sent.
pub(super) struct Traffic {
    taken: Arc<AtomicUsize>,
    all: usize,
    task: tokio::task::JoinHandle<()>,
}

impl Traffic {
    /// Sends this many texts, from these numbers in turn, at this rate a second.
    pub(super) fn start(
        twilio: &WebhookSender,
        numbers: &[String],
        texts: usize,
        rate: usize,
    ) -> Self {
        let taken = Arc::new(AtomicUsize::new(0));
        let (count, twilio, numbers) = (Arc::clone(&taken), twilio.clone(), numbers.to_vec());
        let pause = Duration::from_secs(1) / u32::try_from(rate).unwrap();
        let task = tokio::spawn(async move {
            let mut clock = tokio::time::interval(pause);
            let mut sending = JoinSet::new();
            for n in 0..texts {
                clock.tick().await;
                while sending.try_join_next().is_some() {}
                let [first, second, third] = kinds(&numbers[n % numbers.len()]);
                let text = [first, second, third]
                    .into_iter()
                    .nth(kind_of(n))
                    .unwrap()
                    .1;
                let twilio = twilio.clone();
                sending.spawn(async move { drop(twilio.send(&text).await) });
                count.fetch_add(1, Ordering::Relaxed);
            }
            sending.join_all().await;
        });
        Self {
            taken,
            all: texts,
            task,
        }
    }

    /// How many texts Twilio has taken so far.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        self.taken() == self.all
    }

    /// Waits until Twilio has given up or delivered the last webhook.
    pub(super) async fn finish(self) {
        self.task.await.unwrap();
    }
}
