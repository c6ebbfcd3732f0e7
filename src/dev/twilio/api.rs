//! The simulated REST API as its user holds it: started in three steps, then told what to do and asked what it has seen.

use std::{collections::HashSet, fmt, net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    account::Account,
    behaviour::Behaviour,
    callbacks,
    console::Console,
    ledger::{AcceptedMessage, CallbackDelivery, Ledger, Requests, State},
    server,
};

/// An address for the API: known, so that `TWILIO_API_BASE_URL` can be set to it, before anything else is.
#[derive(Debug)]
pub struct BoundApi {
    listener: TcpListener,
    addr: SocketAddr,
}

impl BoundApi {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What is to be `TWILIO_API_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Plays this account until `stop`, which ends what is open at once.
    pub fn serve(self, account: Account, stop: CancellationToken) -> anyhow::Result<SimulatedApi> {
        let api = Arc::new(Inner {
            ledger: Ledger::new(Console::of(&account)),
            account,
            client: callbacks::client()?,
            stop: stop.clone(),
            addr: self.addr,
        });
        tokio::spawn(server::run(self.listener, Arc::clone(&api), stop));
        Ok(SimulatedApi(api))
    }
}

/// The API at work. Cheap to clone.
///
/// 1. [`SimulatedApi::bind`] it, and set `TWILIO_API_BASE_URL` to [`BoundApi::base_url`];
/// 2. [`BoundApi::serve`] it once the configuration is read, before anything may send;
/// 3. [`SimulatedApi::connect`] it to the receiver once that has an address. Callbacks until then go nowhere.
#[derive(Clone)]
pub struct SimulatedApi(Arc<Inner>);

pub(super) struct Inner {
    pub(super) account: Account,
    pub(super) ledger: Ledger,
    pub(super) client: reqwest::Client,
    pub(super) stop: CancellationToken,
    pub(super) addr: SocketAddr,
}

/// The same, as its handlers hold it.
pub(super) type Shared = Arc<Inner>;

impl fmt::Debug for SimulatedApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimulatedApi").field(&self.0.addr).finish()
    }
}

impl SimulatedApi {
    /// Listens, and lets requests wait until they are served.
    pub async fn bind(addr: SocketAddr) -> anyhow::Result<BoundApi> {
        let listener = TcpListener::bind(addr)
            .await
            .with_context(|| format!("the simulated Twilio cannot listen on {addr}"))?;
        let addr = listener.local_addr()?;
        Ok(BoundApi { listener, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// From now on, callbacks to the account's public URL are requested at `target`, such as `http://127.0.0.1:3000`.
    pub fn connect(&self, target: &str) {
        let target = target.trim_end_matches('/').to_owned();
        self.0.ledger.change(|state| state.receiver = Some(target));
    }

    /// How messages to this number are treated from now on.
    pub fn behave(&self, number: &str, behaviour: impl Into<Behaviour>) {
        self.0.ledger.behave(number, Some(behaviour.into()));
    }

    /// Every message that was taken, in order.
    pub fn accepted(&self) -> Vec<AcceptedMessage> {
        self.0.ledger.look(|state| state.messages.clone())
    }

    /// Those that were taken after the first so many, as soon as there are any.
    pub async fn accepted_after(&self, seen: usize) -> Vec<AcceptedMessage> {
        let look = |state: &State| {
            let new = state.messages.get(seen..)?;
            (!new.is_empty()).then(|| new.to_vec())
        };
        self.0.ledger.wait(look).await
    }

    /// The last message to this number, as soon as there is one.
    pub async fn message_to(&self, number: &str) -> AcceptedMessage {
        self.0
            .ledger
            .wait(|state| state.to(number).last().cloned())
            .await
    }

    /// Every message to this number, as soon as there are so many.
    pub async fn messages_to(&self, number: &str, at_least: usize) -> Vec<AcceptedMessage> {
        let look = |state: &State| {
            let messages = state.to(number);
            (messages.len() >= at_least).then(|| messages.cloned().collect())
        };
        self.0.ledger.wait(look).await
    }

    /// From now on, each file that came with a message is not there yet when it is asked for, so many times.
    pub fn delay_media(&self, times: u32) {
        self.0.ledger.change(|state| state.media.late = times);
    }

    /// The SIDs of the files that were deleted by requests.
    pub fn deleted_media(&self) -> HashSet<String> {
        self.0.ledger.look(|state| state.media.deleted.clone())
    }

    /// What is set in the console.
    pub fn console(&self) -> Console {
        self.0.ledger.look(|state| state.console.clone())
    }

    /// Sets something in the console.
    pub fn set(&self, change: impl FnOnce(&mut Console)) {
        self.0.ledger.change(|state| change(&mut state.console));
    }

    /// How often each operation was asked for.
    pub fn requests(&self) -> Requests {
        self.0.ledger.look(|state| state.requests)
    }

    /// How often it was asked to send to this number, whatever the answer was.
    pub fn posts_to(&self, number: &str) -> u64 {
        let posts = |state: &State| state.posts.get(number).copied();
        self.0.ledger.look(posts).unwrap_or_default()
    }

    /// The status callbacks of this message, in order, as soon as so many have been made.
    pub async fn callbacks_of(&self, sid: &str, at_least: usize) -> Vec<CallbackDelivery> {
        let look = |state: &State| {
            let of_it = state.callbacks.iter().filter(|c| c.message_sid == sid);
            let of_it: Vec<_> = of_it.cloned().collect();
            (of_it.len() >= at_least).then_some(of_it)
        };
        self.0.ledger.wait(look).await
    }
}
