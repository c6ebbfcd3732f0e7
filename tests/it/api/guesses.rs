//! An attacker cannot guess a code.

use std::time::Duration;

use futures_util::future::join_all;

use super::{ApiHarness, FREE, wrong};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_concurrent_guesses_five_are_checked_and_then_the_code_is_invalid() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    let guesses = (0..200).map(|_| async {
        let answer = caller.verify(FREE, &wrong(&code)).await;
        // Under this load the database may be too slow for some requests. Those guesses were not
        // checked.
        let is_refusal = matches!(answer.code(), (400, "VERIFICATION_FAILED") | (503, _));
        assert!(is_refusal, "{answer:?}");
    });
    join_all(guesses).await;
    let tries: i16 = sqlx::query_scalar("select wrong_tries from pigeonhole.pending_verifications")
        .fetch_one(&api.app.pool)
        .await
        .unwrap();
    assert_eq!(tries, 5);
    // The SMS counted once for each of its keys. The guesses have a key of their own.
    let judged = "pigeonhole.limit_log where key in
                  (select key from pigeonhole.limit_log group by key having count(*) > 1)";
    assert_eq!(api.count(judged).await, 5);
    assert_eq!(
        caller.verify(FREE, &code).await.code(),
        (400, "VERIFICATION_FAILED")
    );
    assert_eq!(api.owner(FREE).await, None);
    // A new code allows new guesses.
    api.advance(Duration::from_mins(1)).await;
    caller.prove(FREE).await;
}

#[tokio::test]
async fn a_user_has_ten_guesses_an_hour_across_all_codes() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    for _ in 0..2 {
        assert_eq!(caller.link(FREE).await.status, 201);
        let code = api.code_sent_to(FREE).await;
        for _ in 0..5 {
            let answer = caller.verify(FREE, &wrong(&code)).await;
            assert_eq!(answer.code(), (400, "VERIFICATION_FAILED"));
        }
        api.advance(Duration::from_mins(1)).await;
    }
    assert_eq!(caller.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    let wait = caller.verify(FREE, &code).await.retry_after();
    assert!(wait <= 3600 && wait > 3400, "{wait}");
    // The right code works as soon as the user may guess again.
    api.advance(Duration::from_hours(1)).await;
    caller.prove(FREE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_code_sent_twenty_times_at_once_works_once() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    assert_eq!(caller.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    let answers = join_all((0..20).map(|_| caller.verify(FREE, &code))).await;
    let ok = answers.iter().filter(|answer| answer.status == 200);
    assert_eq!(ok.count(), 1);
    assert_eq!(api.owner(FREE).await, Some(caller.user));
}
