//! Who waits to be done together with others: the waiting line of a group commit.
//!
//! Nobody lingers: what came while others were under way is the next batch. A second batch begins beside the first where
//! many wait, so that while one waits for the disk the other's rows go in; fewer cost less together, in the next. It also
//! begins when the first takes long: something holds that up which need not concern those behind it.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::{
        Notify,
        mpsc::{self, error::SendError, error::TrySendError},
    },
    time::{Instant, sleep_until},
};

/// With so many waiting, a second batch begins beside the first.
const WORTH_A_SECOND: usize = 16;

/// What a batch takes on a busy machine, and more.
const LONG: Duration = Duration::from_millis(100);

/// Where one gets in line.
pub struct Line<T> {
    waiting: mpsc::Sender<T>,
    /// Notified when many wait.
    many: Arc<Notify>,
}

impl<T> Clone for Line<T> {
    fn clone(&self) -> Self {
        Self {
            waiting: self.waiting.clone(),
            many: self.many.clone(),
        }
    }
}

/// Where batches are taken.
pub struct Taker<T> {
    waiting: mpsc::Receiver<T>,
    many: Arc<Notify>,
    most: usize,
    /// When the last batch was taken.
    began: Instant,
}

/// A line for so many, taken in batches of at most `most`.
pub fn line<T>(capacity: usize, most: usize) -> (Line<T>, Taker<T>) {
    let (sender, waiting) = mpsc::channel(capacity);
    let many = Arc::<Notify>::default();
    let line = Line {
        waiting: sender,
        many: many.clone(),
    };
    let taker = Taker {
        waiting,
        many,
        most,
        began: Instant::now(),
    };
    (line, taker)
}

impl<T> Line<T> {
    /// Waits for a place. An error: nobody takes any more.
    pub async fn put(&self, one: T) -> Result<(), SendError<T>> {
        self.waiting.send(one).await?;
        self.tell();
        Ok(())
    }

    /// Takes a place if there is one.
    pub fn try_put(&self, one: T) -> Result<(), TrySendError<T>> {
        self.waiting.try_send(one)?;
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        if self.waiting.max_capacity() - self.waiting.capacity() >= WORTH_A_SECOND {
            self.many.notify_one();
        }
    }
}

impl<T> Taker<T> {
    /// The next batch, when it may begin beside so many that are under way: never beside two. None once nobody can come any
    /// more. Nothing is lost if it is dropped before it answers.
    pub async fn take(&mut self, under_way: usize) -> Option<Vec<T>> {
        match under_way {
            0 => {}
            1 => {
                let long = sleep_until(self.began + LONG);
                tokio::select! { () = self.enough() => {} () = long => {} }
            }
            _ => pending().await,
        }
        let mut batch = Vec::new();
        if self.waiting.recv_many(&mut batch, self.most).await == 0 {
            return None;
        }
        self.began = Instant::now();
        Some(batch)
    }

    async fn enough(&self) {
        loop {
            self.many.notified().await;
            if self.waiting.len() >= WORTH_A_SECOND {
                return; // else they went with the first
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_batch_begins_at_once_only_for_many_and_a_third_never() {
        let (line, mut taker) = line(1000, 200);
        line.put(0).await.unwrap();
        assert_eq!(taker.take(0).await.unwrap().len(), 1);
        for n in 1..WORTH_A_SECOND {
            line.put(n).await.unwrap();
        }
        assert!(taker.take(1).now_or_never().is_none());
        line.put(0).await.unwrap();
        let second = taker.take(1).now_or_never().flatten();
        assert_eq!(second.unwrap().len(), WORTH_A_SECOND);
        for n in 0..10 * WORTH_A_SECOND {
            line.try_put(n).unwrap();
        }
        let third = tokio::time::timeout(100 * LONG, taker.take(2));
        assert!(third.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_behind_a_batch_that_takes_long() {
        let (line, mut taker) = line(1000, 200);
        line.put("held up").await.unwrap();
        taker.take(0).await.unwrap();
        line.put("behind it").await.unwrap();
        let began = Instant::now();
        assert_eq!(taker.take(1).await.unwrap(), ["behind it"]);
        assert!(began.elapsed() <= 2 * LONG);
    }

    #[tokio::test]
    async fn the_last_are_taken_after_the_line_is_closed() {
        let (line, mut taker) = line(1000, 2);
        for n in 0..3 {
            line.put(n).await.unwrap();
        }
        drop(line);
        assert_eq!(taker.take(0).await.unwrap(), [0, 1]);
        assert_eq!(taker.take(0).await.unwrap(), [2]);
        assert_eq!(taker.take(0).await, None);
    }
}
