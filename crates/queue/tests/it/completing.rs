//! A job runs when its row is committed, and ends together with its effect.

use std::collections::HashSet;

use crate::{
    harness::{Running, TestQueue, keys, settings, until},
    script::{Does, Plain, Scripted, Sturdy, plain, sturdy},
};

#[tokio::test]
async fn a_job_runs_once_and_its_row_is_gone() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    queue.enqueue(plain("a", Does::Nothing)).await;
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.world.starts(), [("a".to_owned(), 1)]);
    assert_eq!(queue.dead().await, 0);
}

#[tokio::test]
async fn a_job_and_its_effect_commit_or_roll_back_together() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    let id = queue.enqueue(plain("a", Does::EffectRolledBackOnce)).await;
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(
        queue.world.starts(),
        [("a".to_owned(), 1), ("a".to_owned(), 2)]
    );
    assert_eq!(queue.world.completions(), ["Ok(())", "Ok(())"]);
    // The rolled-back completion left the row, which was then given back as a failure.
    assert_eq!(queue.given_back(id).await, [(1, 0.0)]);
    queue
        .assert_all_had_their_effect_once(vec!["a".to_owned()])
        .await;
}

#[tokio::test]
async fn a_completion_is_not_seen_before_its_commit() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    let id = queue.enqueue(plain("a", Does::EffectCommittedLate)).await;
    until("the job has completed", async || {
        !queue.world.completions().is_empty()
    })
    .await;
    assert!(queue.row(id).await.is_some());
    assert_eq!(queue.effects().await, [""; 0]);
    queue.world.open_gate();
    queue.until_empty().await;
    assert_eq!(queue.effects().await, ["a"]);
    running.stop().await;
}

#[tokio::test]
async fn an_enqueued_job_runs_only_after_the_commit() {
    let queue = TestQueue::new().await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    let mut tx = queue.pool.begin().await.unwrap();
    queue::enqueue(&mut tx, &plain("late", Does::Nothing))
        .await
        .unwrap();

    // Younger ones run meanwhile, so the runner has looked.
    queue.enqueue(plain("marker", Does::Nothing)).await;
    until("the marker ran", async || {
        queue.world.runs_of("marker") == 1
    })
    .await;
    queue.until_empty().await;
    assert_eq!(queue.world.runs_of("late"), 0);

    tx.commit().await.unwrap();
    until("it runs", async || queue.world.runs_of("late") == 1).await;
    running.stop().await;
}

#[tokio::test]
async fn a_rolled_back_enqueue_never_runs() {
    let queue = TestQueue::new().await;
    let mut tx = queue.pool.begin().await.unwrap();
    queue::enqueue(&mut tx, &plain("undone", Does::Nothing))
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    queue.enqueue(plain("marker", Does::Nothing)).await;
    let running = queue.run::<Scripted<Plain>>(settings(), 4).await;
    queue.until_empty().await;
    running.stop().await;
    assert_eq!(queue.world.starts(), [("marker".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runners_share_two_thousand_jobs_and_run_each_once() {
    let queue = TestQueue::new().await;
    let all = keys("job", 2000);
    let jobs = all.iter().map(|key| sturdy(key, Does::Effect));
    queue.enqueue_all(jobs).await;
    let mut runners = Vec::new();
    for name in ["one", "two"] {
        let mut settings = settings();
        name.clone_into(&mut settings.worker);
        let runner = queue.runner(settings).await;
        runners.push(runner.register::<Scripted<Sturdy>, _>(queue.world.clone(), 8));
    }
    let running: Vec<_> = runners.into_iter().map(Running::start).collect();
    queue.until_empty().await;
    for one in running {
        one.stop().await;
    }
    let starts = queue.world.starts();
    assert_eq!(starts.len(), 2000);
    assert_eq!(starts.iter().collect::<HashSet<_>>().len(), 2000);
    queue.assert_all_had_their_effect_once(all).await;
}

#[tokio::test]
async fn any_unicode_in_the_arguments_survives() {
    let queue = TestQueue::new().await;
    let odd = [
        "",
        "\0",
        "a\0b\\u0000",
        "\"\\/\u{8}\u{c}\n\r\t\u{1}\u{7f}",
        "\u{feff}bom \u{202e}right to left \u{2028}\u{2029}",
        "e\u{301} \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10ffff}",
        "$1 %s {} ' -- ; drop table queue.jobs",
    ];
    for key in odd {
        queue.enqueue(plain(key, Does::Nothing)).await;
    }
    let running = queue.run::<Scripted<Plain>>(settings(), 1).await;
    queue.until_empty().await;
    running.stop().await;
    let ran: Vec<_> = queue
        .world
        .starts()
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(ran, odd);
    assert_eq!(queue.dead().await, 0);
}
