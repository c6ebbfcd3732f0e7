//! What there is to see at once: a user with a number, and a message of each kind that is handled differently.

use anyhow::Context;
use sqlx::PgPool;
use store::{E164, Keyring, user_phone_numbers, users};

use super::{DEMO_NUMBER, DEMO_USER, twilio::Text};

/// A number that nobody has linked.
const STRANGER: &str = "+12025550199";

/// Gives the demo user their number, and no other. On the demo page, they or others may have done anything with it.
pub(super) async fn link_demo_user(pool: &PgPool, keyring: &Keyring) -> anyhow::Result<()> {
    let mut conn = pool.acquire().await?;
    let number = E164::parse(DEMO_NUMBER).context("the demo number is no number")?;
    users::ensure(&mut conn, DEMO_USER).await?;
    let owner = user_phone_numbers::find_verified_owner(&mut conn, keyring, &number).await?;
    if owner.is_some_and(|owner| owner != DEMO_USER) {
        user_phone_numbers::unlink(&mut conn, keyring, &number).await?;
    }
    for had in user_phone_numbers::list(&mut conn, keyring, Some(DEMO_USER)).await? {
        if let Some(other) = had.number.filter(|had| *had != number) {
            user_phone_numbers::unlink(&mut conn, keyring, &other).await?;
        }
    }
    user_phone_numbers::link(&mut conn, keyring, DEMO_USER, &number).await?;
    Ok(())
}

/// The messages.
pub(super) fn texts() -> Vec<Text> {
    let text = |from: &str, body: &str| Text {
        from: from.to_owned(),
        body: body.to_owned(),
        ..Text::default()
    };
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        text(DEMO_NUMBER, "Met Ana at #RustConf, she builds #databases"),
        Text {
            fields: vec![
                field("Latitude", "52.5163"),
                field("Longitude", "13.3777"),
                field("Label", "Brandenburg Gate"),
            ],
            ..text(DEMO_NUMBER, "We meet here on Friday")
        },
        Text {
            media: vec!["text/vcard".to_owned(), "image/jpeg".to_owned()],
            ..text(DEMO_NUMBER, "Her card #contact")
        },
        text(STRANGER, "Nobody has linked this number"),
    ]
}
