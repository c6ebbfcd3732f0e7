//! What operators read.

use queue::admin::{CountPrecision, JobCount, JobFilter, JobState};

use crate::harness::{AdminHarness, exactly, of_state};

#[tokio::test]
async fn stats_of_an_empty_queue_name_no_kind() {
    assert!(AdminHarness::start().await.stats().await.kinds.is_empty());
}

#[tokio::test]
async fn stats_count_each_state_and_recent_attempts() {
    let queue = AdminHarness::start().await;
    queue.job().await;
    queue.job().await;
    queue.running().await;
    queue.scheduled().await;
    queue.dead("gone").await;
    queue
        .run(
            "insert into queue.throughput (kind, minute, completed, failed) values
                 ('letter', date_trunc('minute', now()) - interval '2 h', 1000, 1000),
                 ('letter', date_trunc('minute', now()) - interval '9 min', 100, 3),
                 ('letter', date_trunc('minute', now()) - interval '1 min', 20, 1),
                 ('letter', date_trunc('minute', now()), 5, 0);
             insert into queue.workers (name, started_at, kinds, concurrency, held) values ('a', now(), '{letter,idle}', 4, 1);
             update queue.jobs set run_at = now() - interval '5 min' where ready;
             insert into queue.paused (kind, reason) values ('quiet', 'moving house')",
        )
        .await;
    let stats = queue.stats().await;
    let names: Vec<&str> = stats.kinds.iter().map(|kind| kind.kind.as_str()).collect();
    assert_eq!(names, ["idle", "letter", "quiet"]);
    let letter = &stats.kinds[1];
    let counts = [
        letter.available,
        letter.running,
        letter.scheduled,
        letter.dead,
    ];
    assert_eq!(counts, [exactly(2), exactly(1), exactly(1), exactly(1)]);
    let done = [
        letter.completed_last_minute,
        letter.completed_last_hour,
        letter.failed_last_hour,
    ];
    assert_eq!(done, [20, 125, 4]);
    assert_eq!(letter.workers, 1);
    let waiting = stats.at - letter.oldest_available_since.unwrap();
    assert!((300..310).contains(&waiting.num_seconds()), "{waiting}");
    assert_eq!(
        stats.kinds[2].paused_reason.as_deref(),
        Some("moving house")
    );
}

#[tokio::test]
async fn stats_estimate_numbers_that_take_too_long_to_count() {
    let queue = AdminHarness::start().await;
    queue
        .run(
            "insert into queue.jobs (kind, max_attempts, args, ready, run_at)
                 select 'letter', 3, '{}', i % 2 = 0, now() + interval '1 h' from generate_series(1, 40000) i;
             insert into queue.dead_jobs (id, kind, reason, created_at, attempts, max_attempts, priority, args)
                 select -i, 'letter', 'discarded', now(), 1, 3, 0, '{}' from generate_series(1, 10001) i",
        )
        .await;
    queue.running().await;
    let stats = queue.stats().await;
    let letter = &stats.kinds[0];
    for count in [letter.available, letter.scheduled, letter.dead] {
        assert_eq!(count.precision, CountPrecision::About, "{count:?}");
    }
    assert!(
        (18_000..22_000).contains(&letter.available.count),
        "{letter:?}"
    );
    assert!(
        (18_000..22_000).contains(&letter.scheduled.count),
        "{letter:?}"
    );
    assert_eq!(
        letter.running,
        JobCount {
            count: 1,
            precision: CountPrecision::AtLeast
        }
    );
}

#[tokio::test]
async fn a_list_shows_each_state_alone() {
    let queue = AdminHarness::start().await;
    let available = queue.job().await;
    let running = queue.running().await;
    let scheduled = queue.scheduled().await;
    let dead = queue.dead("gone").await;
    assert_eq!(queue.ids(of_state(JobState::Available)).await, [available]);
    assert_eq!(queue.ids(of_state(JobState::Running)).await, [running]);
    assert_eq!(queue.ids(of_state(JobState::Scheduled)).await, [scheduled]);
    assert_eq!(queue.ids(of_state(JobState::Dead)).await, [dead]);
    assert_eq!(
        queue.ids(JobFilter::default()).await,
        [available, running, scheduled]
    );
    let other = JobFilter {
        kind: Some("other".to_owned()),
        ..JobFilter::default()
    };
    assert!(queue.ids(other.clone()).await.is_empty());
    assert!(
        queue
            .ids(JobFilter {
                state: Some(JobState::Dead),
                ..other
            })
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_list_finds_errors_by_a_part_of_their_text_which_is_no_pattern() {
    let queue = AdminHarness::start().await;
    let refused = queue.failed("Connection REFUSED: 100%").await;
    let dead = queue.dead("connection refused").await;
    queue.failed("timed out").await;
    queue.job().await;
    let with = |error: &str, state| JobFilter {
        error: Some(error.to_owned()),
        state,
        ..JobFilter::default()
    };
    assert_eq!(queue.ids(with("connection refused", None)).await, [refused]);
    assert_eq!(
        queue.ids(with("0%", Some(JobState::Scheduled))).await,
        [refused]
    );
    assert_eq!(
        queue.ids(with("Refused", Some(JobState::Dead))).await,
        [dead]
    );
    assert!(queue.ids(with("%", Some(JobState::Dead))).await.is_empty());
}

#[tokio::test]
async fn pages_have_no_gap_and_no_repetition() {
    let queue = AdminHarness::start().await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(queue.failed("timed out").await);
    }
    for error in [None, Some("timed out".to_owned())] {
        for state in [None, Some(JobState::Scheduled)] {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let filter = JobFilter {
                    state,
                    error: error.clone(),
                    after,
                    limit: 2,
                    ..JobFilter::default()
                };
                let page = queue.list(filter).await;
                seen.extend(page.jobs.iter().map(|job| job.id));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all);
        }
    }
}

#[tokio::test]
async fn a_list_that_stops_early_says_where_the_next_page_starts() {
    let queue = AdminHarness::start().await;
    queue
        .run(
            "insert into queue.jobs (kind, max_attempts, args) select 'letter', 3, '{}' from generate_series(1, 10001)",
        )
        .await;
    let last = queue.failed("rare").await;
    let filter = JobFilter {
        error: Some("rare".to_owned()),
        limit: 10,
        ..JobFilter::default()
    };
    let page = queue.list(filter.clone()).await;
    assert!(page.jobs.is_empty());
    let page = queue
        .list(JobFilter {
            after: page.next,
            ..filter
        })
        .await;
    assert_eq!((page.jobs[0].id, page.next), (last, None));
}

#[tokio::test]
async fn show_returns_a_job_in_each_of_its_states() {
    let queue = AdminHarness::start().await;
    let job = queue.show(queue.job().await).await.unwrap();
    assert_eq!(
        (job.state, job.args.get(), job.claims),
        (JobState::Available, r#"{"number":7}"#, Some(0))
    );
    let job = queue.show(queue.running().await).await.unwrap();
    assert_eq!(
        (job.state, job.worker.as_deref(), job.due_at),
        (JobState::Running, Some("host:1"), None)
    );
    assert!(job.lease_until.unwrap() > job.at && job.claimed_at.is_some());
    let job = queue.show(queue.failed("timed out").await).await.unwrap();
    assert_eq!(
        (job.state, job.lease_until, job.errors.len()),
        (JobState::Scheduled, None, 1)
    );
    assert_eq!(
        (job.errors[0].attempt, job.errors[0].error.as_str()),
        (1, "timed out")
    );
    let job = queue.show(queue.dead("gone").await).await.unwrap();
    assert_eq!(
        (job.state, job.reason.as_deref()),
        (JobState::Dead, Some("by_operator"))
    );
    assert_eq!(job.errors[0].error, "gone");
    assert!(queue.show(999_999).await.is_none());
}
