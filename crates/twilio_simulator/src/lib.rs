//! A simulated Twilio, for `pigeonhole dev` and for tests.
//!
//! - [`WebhookSender`] plays the people who text us: it makes webhooks up, signs and delivers them.
//!   An API that knows the sender lists the messages, also those whose webhook failed.
//! - [`SimulatedApi`] plays the REST API through which we text people: it accepts messages, lists
//!   them, and reports by status callbacks how each one ends. A test or a developer decides for
//!   each number how the API misbehaves. The API also serves the files of inbound messages.
//!
//! `docs/simulated-twilio.md` describes how to use it by hand.

mod account;
mod alerts;
mod api;
mod behaviour;
mod callbacks;
mod conditions;
mod console;
mod console_lists;
mod console_settings;
mod context;
mod control;
mod error;
mod http_client;
mod ids;
mod inbound_text;
mod media;
mod messages;
mod paging;
mod received;
mod remote;
mod responses;
mod retries;
mod samples;
mod send_message;
mod send_state;
mod server;
mod webhook_sender;

pub use account::{MAGIC_NUMBER, SimulatedAccount};
pub use api::{BoundApi, SimulatedApi};
pub use behaviour::{Behaviour, Callbacks, SendAnswer};
pub use conditions::{ApiConditions, ReadAnswer, WebhookFate};
pub use console_settings::{ConsoleSettings, NumberSettings, ServiceSettings};
pub use error::SimulatorError;
pub use inbound_text::InboundText;
pub use received::{ReceivedText, WebhookResult};
pub use remote::take_lost_text;
pub use send_state::{AcceptedMessage, CallbackDelivery, RequestCounts};
pub use webhook_sender::{SentText, WebhookDelivery, WebhookSender};
