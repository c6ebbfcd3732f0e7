//! No route lets a user read, verify or delete another user's number. The last verification of a
//! number wins.

use super::{ApiHarness, FREE, wrong};
use crate::database::NUMBER;

#[tokio::test]
async fn no_route_accesses_another_users_number() {
    let api = ApiHarness::start().await;
    let (owner, claimant, other) = (api.linked(), api.user().await, api.user().await);
    assert_eq!(claimant.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;

    assert_eq!(other.show().await.code(), (404, "PHONE_NUMBER_NOT_FOUND"));
    assert_eq!(other.unlink().await.code(), (404, "PHONE_NUMBER_NOT_FOUND"));
    for number in [NUMBER, FREE] {
        let answer = other.verify(number, &code).await;
        assert_eq!(answer.code(), (400, "VERIFICATION_FAILED"));
        // A link request takes the number from no user who has or is verifying it.
        assert_eq!(other.link(number).await.status, 201);
        assert_eq!(other.unlink().await.status, 204);
    }
    assert_eq!(owner.show().await.body["phoneNumber"], NUMBER);
    assert_eq!(api.owner(NUMBER).await, Some(owner.user));
    assert_eq!(claimant.show().await.body["phoneNumber"], FREE);
    assert_eq!(claimant.verify(FREE, &code).await.status, 200);
}

#[tokio::test]
async fn an_unverified_link_request_blocks_no_other_user() {
    let api = ApiHarness::start().await;
    let (squatter, owner) = (api.user().await, api.user().await);
    assert_eq!(squatter.link(FREE).await.status, 201);
    let code = api.code_sent_to(FREE).await;
    owner.prove(FREE).await;
    assert_eq!(api.owner(FREE).await, Some(owner.user));
    // The codes were sent to the owner's phone only.
    let answer = squatter.verify(FREE, &wrong(&code)).await;
    assert_eq!(answer.code(), (400, "VERIFICATION_FAILED"));
    assert_eq!(api.owner(FREE).await, Some(owner.user));
}

#[tokio::test]
async fn a_number_belongs_to_the_last_user_who_verified_it_and_the_previous_user_keeps_their_items()
{
    let api = ApiHarness::start().await;
    let (before, after) = (api.linked(), api.user().await);
    sqlx::query(
        "insert into enrichment_items (user_id, item_type, action, value) values ($1, 'tag', 'add', 'rust')",
    )
    .bind(before.user)
    .execute(&api.app.pool)
    .await
    .unwrap();
    after.prove(NUMBER).await;
    assert_eq!(api.owner(NUMBER).await, Some(after.user));
    assert_eq!(before.show().await.code(), (404, "PHONE_NUMBER_NOT_FOUND"));
    let kept = format!("enrichment_items where user_id = '{}'", before.user);
    assert_eq!(api.count(&kept).await, 1);
    assert_eq!(api.count("enrichment_items").await, 1);
    // The previous user may link another number now.
    assert_eq!(before.link(FREE).await.status, 201);
}
