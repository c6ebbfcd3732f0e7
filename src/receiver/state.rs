//! What every webhook and every status callback needs.

use std::sync::Arc;

use queue::Pool;
use store::Keyring;
use twilio::{AccountSid, signature::AuthTokensError};

use super::{accept::Intake, signature::SignatureCheck};
use crate::config::ReceiverConfig;

/// What the handlers share.
pub(super) struct ReceiverState {
    pub(super) pool: Pool,
    pub(super) intake: Intake,
    pub(super) keyring: Arc<Keyring>,
    pub(super) account_sid: AccountSid,
    pub(super) signatures: SignatureCheck,
}

impl ReceiverState {
    pub(super) fn new(
        config: &ReceiverConfig,
        pool: Pool,
        keyring: Arc<Keyring>,
        intake: Intake,
    ) -> Result<Self, AuthTokensError> {
        Ok(Self {
            pool,
            intake,
            keyring,
            account_sid: config.twilio.account_sid.clone(),
            signatures: SignatureCheck::new(config)?,
        })
    }
}
