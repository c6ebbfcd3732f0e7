//! What all handlers of the simulated API share.

use std::{net::SocketAddr, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{account::SimulatedAccount, send_state::SharedState};

/// What all handlers of the simulated API share.
pub(crate) struct ApiContext {
    pub(crate) account: SimulatedAccount,
    pub(crate) state: SharedState,
    /// Posts status callbacks and webhooks.
    pub(crate) client: reqwest::Client,
    pub(crate) stop: CancellationToken,
    /// Where the API listens.
    pub(crate) addr: SocketAddr,
}

impl ApiContext {
    /// The base URL of all APIs.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// The context as handlers receive it.
pub(crate) type SharedContext = Arc<ApiContext>;
