//! The simulated REST API, as a test or `dev` uses it.

use std::{collections::HashSet, fmt, net::SocketAddr, sync::Arc};

use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    account::SimulatedAccount,
    behaviour::Behaviour,
    conditions::ApiConditions,
    console_settings::ConsoleSettings,
    context::{ApiContext, SharedContext},
    error::SimulatorError,
    http_client,
    inbound_text::{InboundText, parameter},
    received::{ReceivedText, WebhookResult},
    send_state::{
        AcceptedMessage, CallbackDelivery, DeleteResult, RequestCounts, SharedState, SimulatorState,
    },
    server,
    webhook_sender::WebhookSender,
};

/// A listener for the API. It exists before the receiver, whose `TWILIO_API_BASE_URL` names it.
#[derive(Debug)]
pub struct BoundApi {
    listener: TcpListener,
    addr: SocketAddr,
}

impl BoundApi {
    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The value for `TWILIO_API_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Plays this account until `stop`, which closes all connections at once.
    pub fn serve(
        self,
        account: SimulatedAccount,
        stop: CancellationToken,
    ) -> Result<SimulatedApi, SimulatorError> {
        let api = Arc::new(ApiContext {
            state: SharedState::new(ConsoleSettings::of(&account)),
            account,
            client: http_client::client()?,
            stop: stop.clone(),
            addr: self.addr,
        });
        tokio::spawn(server::run(self.listener, Arc::clone(&api), stop));
        Ok(SimulatedApi(api))
    }
}

/// The running API. It is cheap to clone.
///
/// 1. [`SimulatedApi::bind`] it, and set `TWILIO_API_BASE_URL` to [`BoundApi::base_url`].
/// 2. [`BoundApi::serve`] it, before anything sends.
/// 3. [`SimulatedApi::connect`] it to the receiver once the receiver listens. Earlier callbacks are
///    lost.
#[derive(Clone)]
pub struct SimulatedApi(SharedContext);

impl fmt::Debug for SimulatedApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimulatedApi").field(&self.0.addr).finish()
    }
}

impl SimulatedApi {
    /// Listens. Requests wait until [`BoundApi::serve`].
    pub async fn bind(addr: SocketAddr) -> Result<BoundApi, SimulatorError> {
        let failed = |source| SimulatorError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        Ok(BoundApi { listener, addr })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// From now on, callbacks to the account's public URL are posted to `receiver`, such as
    /// `http://127.0.0.1:3000`.
    pub fn connect(&self, receiver: &str) {
        let receiver = receiver.trim_end_matches('/').to_owned();
        self.0.state.update(|state| state.receiver = Some(receiver));
    }

    /// Sends webhooks to the receiver at `receiver`, such as `http://127.0.0.1:3000`. This API lists
    /// its messages and obeys [`ApiConditions`].
    pub fn webhook_sender(&self, receiver: &str) -> WebhookSender {
        WebhookSender::of_api(Arc::clone(&self.0), receiver)
    }

    /// Takes a text that was sent at this time. Its webhook has failed. Returns its SID.
    pub fn take_lost(&self, text: &InboundText, at: DateTime<Utc>) -> String {
        let parameters = text.parameters(&self.0.account, &self.0.base_url());
        let sid = parameter(&parameters, "MessageSid").to_owned();
        self.0.state.update(|state| {
            let conditions = &state.conditions;
            state.received.take(&parameters, at, conditions);
            let lost = WebhookResult::Failed { error_code: 11200 };
            state.received.end_webhook(&sid, 0, lost, conditions);
        });
        sid
    }

    /// All texts that were taken from people, oldest first.
    pub fn received(&self) -> Vec<ReceivedText> {
        self.0
            .state
            .read(|state| state.received.all().cloned().collect())
    }

    /// Removes the text of a message, as its sender or an operator may ask. Returns whether there
    /// is such a message.
    pub fn redact(&self, sid: &str) -> bool {
        self.0.state.redact(sid)
    }

    /// Deletes a message. Returns whether there was such a message.
    pub fn delete(&self, sid: &str) -> bool {
        matches!(self.0.state.delete(sid), DeleteResult::Deleted)
    }

    /// What goes wrong.
    pub fn conditions(&self) -> ApiConditions {
        self.0.state.read(|state| state.conditions.clone())
    }

    /// Changes what goes wrong.
    pub fn set_conditions(&self, change: impl FnOnce(&mut ApiConditions)) {
        self.0.state.update(|state| change(&mut state.conditions));
    }

    /// From now on, messages to this number are treated like this.
    pub fn behave(&self, number: &str, behaviour: impl Into<Behaviour>) {
        self.0.state.behave(number, Some(behaviour.into()));
    }

    /// All accepted messages, oldest first.
    pub fn accepted(&self) -> Vec<AcceptedMessage> {
        self.0.state.read(|state| state.messages.clone())
    }

    /// Waits until more than `seen` messages were accepted, and returns the later ones.
    pub async fn accepted_after(&self, seen: usize) -> Vec<AcceptedMessage> {
        let later = |state: &SimulatorState| {
            let new = state.messages.get(seen..)?;
            (!new.is_empty()).then(|| new.to_vec())
        };
        self.0.state.wait_for(later).await
    }

    /// Waits for a message to this number, and returns the newest one.
    pub async fn message_to(&self, number: &str) -> AcceptedMessage {
        self.0
            .state
            .wait_for(|state| state.to(number).last().cloned())
            .await
    }

    /// Waits until `at_least` messages to this number were accepted, and returns all of them.
    pub async fn messages_to(&self, number: &str, at_least: usize) -> Vec<AcceptedMessage> {
        let enough = |state: &SimulatorState| {
            let messages = state.to(number);
            (messages.len() >= at_least).then(|| messages.cloned().collect())
        };
        self.0.state.wait_for(enough).await
    }

    /// From now on, the first `times` requests for each file of a message get 404.
    pub fn delay_media(&self, times: u32) {
        self.0.state.update(|state| state.media.late = times);
    }

    /// The SIDs of the files that requests deleted.
    pub fn deleted_media(&self) -> HashSet<String> {
        self.0.state.read(|state| state.media.deleted.clone())
    }

    /// The console's settings.
    pub fn console(&self) -> ConsoleSettings {
        self.0.state.read(|state| state.console.clone())
    }

    /// Changes the console's settings.
    pub fn set(&self, change: impl FnOnce(&mut ConsoleSettings)) {
        self.0.state.update(|state| change(&mut state.console));
    }

    /// How often each operation was requested.
    pub fn requests(&self) -> RequestCounts {
        self.0.state.read(|state| state.requests)
    }

    /// The number of requests to send to this number, with any answer.
    pub fn posts_to(&self, number: &str) -> u64 {
        let posts = |state: &SimulatorState| state.posts.get(number).copied();
        self.0.state.read(posts).unwrap_or_default()
    }

    /// Waits until `at_least` status callbacks of this message were made, and returns all of them
    /// in order.
    pub async fn callbacks_of(&self, sid: &str, at_least: usize) -> Vec<CallbackDelivery> {
        let enough = |state: &SimulatorState| {
            let callbacks = state.callbacks.iter().filter(|c| c.message_sid == sid);
            let callbacks: Vec<_> = callbacks.cloned().collect();
            (callbacks.len() >= at_least).then_some(callbacks)
        };
        self.0.state.wait_for(enough).await
    }
}
