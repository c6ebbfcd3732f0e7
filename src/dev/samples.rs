//! The demo user's number, and one sample message of each kind.

use anyhow::Context;
use queue::Pool;
use store::{E164, Keyring, user_phone_numbers, users};
use twilio_simulator::InboundText;

use super::demo_user::{DEMO_NUMBER, DEMO_USER};

/// A number that no user has linked.
const UNLINKED_NUMBER: &str = "+12025550199";

/// Links the demo number, and no other, to the demo user. Visitors of the demo page may have
/// unlinked it or linked it to another user.
pub(super) async fn link_demo_user(pool: &Pool, keyring: &Keyring) -> anyhow::Result<()> {
    let mut conn = pool.acquire().await?;
    let number = E164::parse(DEMO_NUMBER).context("the demo number is no number")?;
    users::ensure(&mut conn, DEMO_USER).await?;
    let linked_to = user_phone_numbers::find_verified_user(&mut conn, keyring, &number).await?;
    if linked_to.is_some_and(|user| user != DEMO_USER) {
        user_phone_numbers::unlink(&mut conn, keyring, &number).await?;
    }
    for linked in user_phone_numbers::list(&mut conn, keyring, Some(DEMO_USER)).await? {
        if let Some(other) = linked.number.filter(|linked| *linked != number) {
            user_phone_numbers::unlink(&mut conn, keyring, &other).await?;
        }
    }
    user_phone_numbers::link(&mut conn, keyring, DEMO_USER, &number).await?;
    Ok(())
}

/// The sample messages.
pub(super) fn texts() -> Vec<InboundText> {
    let text = |from: &str, body: &str| InboundText {
        from: from.to_owned(),
        body: body.to_owned(),
        ..InboundText::default()
    };
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        text(DEMO_NUMBER, "Met Ana at #RustConf, she builds #databases"),
        InboundText {
            fields: vec![
                field("Latitude", "52.5163"),
                field("Longitude", "13.3777"),
                field("Label", "Brandenburg Gate"),
            ],
            ..text(DEMO_NUMBER, "We meet here on Friday")
        },
        InboundText {
            media: vec!["text/vcard".to_owned(), "image/jpeg".to_owned()],
            ..text(DEMO_NUMBER, "Her card #contact")
        },
        text(UNLINKED_NUMBER, "Nobody has linked this number"),
    ]
}
