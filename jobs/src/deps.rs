//! What jobs work with.

use std::sync::Arc;

use sqlx::PgPool;
use store::Keyring;
use twilio::rest::{Client, Sender};
use uuid::Uuid;

/// Everything a job may need, made once at the start. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The database.
    pub pool: PgPool,
    /// The keys that open and seal personal data.
    pub keyring: Arc<Keyring>,
}

/// What jobs that send SMS need besides.
#[derive(Debug, Clone)]
pub struct SendDeps {
    /// The database and the keys.
    pub deps: Deps,
    /// Twilio's REST API.
    pub twilio: Client,
    /// Whom the SMS come from.
    pub sender: Arc<Sender>,
    /// The URL under which Twilio reports what became of an SMS, without a query.
    pub status_callback: String,
}

impl SendDeps {
    /// Where Twilio reports on this send. The report names it even when we never learnt Twilio's name for it. The
    /// fragment asks Twilio to try again when we do not answer well; it is not part of what is signed.
    /// <https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>
    pub(crate) fn callback_for(&self, send: Uuid) -> String {
        format!("{}?send={send}#rc=3&rp=all", self.status_callback)
    }
}
