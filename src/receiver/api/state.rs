//! What every request to the API needs, and its transactions.

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use queue::{Pool, PooledTransaction, Waker};
use store::{Keyring, users};
use tokio::time::timeout;
use uuid::Uuid;

use super::{error::ApiError, tokens::TokenCheck};
use crate::config::VerificationConfig;

/// How long the database may take. After that the client gets 503 while it still listens.
const DEADLINE: Duration = Duration::from_millis(1500);

/// What the handlers and extractors share.
pub(super) struct ApiState {
    pub(super) pool: Pool,
    pub(super) keyring: Arc<Keyring>,
    pub(super) waker: Waker,
    pub(super) tokens: TokenCheck,
    pub(super) verification: VerificationConfig,
    pub(super) trusted_proxies: Vec<IpNet>,
}

impl ApiState {
    /// Begins a transaction for a user. The user must exist: tokens outlive accounts.
    pub(super) async fn begin(&self, user: Uuid) -> Result<PooledTransaction, ApiError> {
        let mut tx = self.pool.begin().await?;
        if users::exists(&mut tx, user).await? {
            Ok(tx)
        } else {
            Err(ApiError::InvalidToken("user_gone"))
        }
    }
}

/// Bounds how long the work on the database takes. Work that is cut off is rolled back, unless its
/// commit was already on its way.
pub(super) async fn in_time<T>(
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    match timeout(DEADLINE, work).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::DatabaseSlow),
    }
}
