use chrono::{DateTime, Utc};

use super::*;
use crate::attempt::Fence;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn claimed(priority: i16) -> ClaimedJob {
    ClaimedJob {
        fence: Fence { job: 7, claim: 3 },
        attempt: 2,
        max_attempts: 5,
        priority,
        unique_key: Some("once".into()),
        args: "{}".into(),
        trace: None,
        position: at(1_700_000_000),
        claimed_at: at(1_700_000_060),
        ready_since: Some(at(1_700_000_000)),
        ready_at: None,
    }
}

#[test]
fn a_task_has_all_that_apalis_layers_look_for() {
    let task = to_task(claimed(0), &Queue::from("letter"), "host:1");
    let ctx = task.ctx();
    assert_eq!(ctx.task_id(), Some(&TaskId::from_int(7)));
    assert_eq!(ctx.queue().map(AsRef::as_ref), Some("letter"));
    assert_eq!((ctx.attempt(), ctx.max_attempts()), (1, Some(5)));
    assert_eq!(ctx.run_at(), Some(1_700_000_000));
    assert_eq!(ctx.lock_at(), Some(1_700_000_060));
    assert_eq!(ctx.lock_by(), Some("host:1"));
    assert_eq!(ctx.idempotency_key(), Some("once"));
    assert_eq!(task.args.fence, Fence { job: 7, claim: 3 });
}

#[test]
fn a_job_that_goes_first_has_the_higher_priority_in_apalis() {
    let priorities = [-1, 0, 1, 9].map(apalis_priority);
    assert_eq!(priorities, [2, 1, 0, 0]);
}
