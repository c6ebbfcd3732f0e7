//! A simulated Twilio. [`SimulatedTwilio`] plays the people who text us: it makes up webhooks and delivers them.
//! [`SimulatedApi`] plays the REST API through which we text people: it takes messages, lists them, and tells by status
//! callbacks what becomes of them; each number can be made to misbehave in its own way. And it has the files of those
//! messages that people have sent us.
//!
//! For `dev` and the tests. `docs/simulated-twilio.md` says how to use it by hand.

mod account;
mod answers;
mod api;
mod behaviour;
mod callbacks;
mod console;
mod control;
mod create;
mod ledger;
mod media;
mod read;
mod samples;
mod server;
mod webhooks;

pub use account::Account;
pub use api::{BoundApi, SimulatedApi};
pub use behaviour::{Answer, Behaviour, Callbacks};
pub use console::{Console, NumberSettings, ServiceSettings};
pub use ledger::{AcceptedMessage, CallbackDelivery, Requests};
pub use webhooks::{Delivery, SimulatedTwilio, Text};

/// 32 random hexadecimal digits: half of an id of Twilio's, or of a key.
pub(super) fn hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}
