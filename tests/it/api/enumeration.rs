//! No response shows whether a number is linked to another user.

use super::{ApiAnswer, ApiHarness, FREE, PATH};
use crate::database::NUMBER;

/// Status, headers without the date, and the shape of the body.
fn shape(answer: &ApiAnswer, number: &str) -> (u16, Vec<String>, String) {
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    (
        answer.status,
        headers,
        answer.body.to_string().replace(number, "N"),
    )
}

#[tokio::test]
async fn responses_do_not_show_whether_a_number_is_linked() {
    let api = ApiHarness::start().await;
    // One user has verified it, and another user wants to link it.
    assert_eq!(api.user().await.link(NUMBER).await.status, 201);
    let mut shapes = Vec::new();
    for number in [NUMBER, FREE] {
        let caller = api.user().await;
        let body = super::number(number);
        let answers = [
            caller.link(number).await,
            caller.show().await,
            caller.verify(number, "100000").await,
            caller.link(number).await,
            caller.unlink().await,
            caller.post_once("key", PATH, &body).await,
        ];
        let of_number: Vec<_> = answers
            .iter()
            .map(|answer| {
                let (status, headers, body) = shape(answer, number);
                // Times differ for every number.
                let body = body.replace(|c: char| c.is_ascii_digit(), "0");
                (status, headers, body)
            })
            .collect();
        shapes.push(of_number);
    }
    assert_eq!(shapes[0], shapes[1]);
    let statuses: Vec<u16> = shapes[0].iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [201, 200, 400, 429, 204, 201]);
}

#[tokio::test]
async fn the_same_statements_run_for_a_linked_number_and_an_unlinked_number() {
    // Work differs if the rows that are written and locked differ. Both numbers cause one send and
    // one pending verification.
    let api = ApiHarness::start().await;
    let counts = async || {
        let mut counts = Vec::new();
        for table in ["sends", "pending_verifications", "limit_log"] {
            counts.push(api.count(&format!("pigeonhole.{table}")).await);
        }
        counts
    };
    let mut changes = Vec::new();
    for number in [NUMBER, FREE] {
        let caller = api.user().await;
        let before = counts().await;
        assert_eq!(caller.link(number).await.status, 201);
        let after = counts().await;
        let change: Vec<i64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
        changes.push(change);
    }
    assert_eq!(changes[0], changes[1]);
}
