//! Tests of the program as a whole: HTTP requests, the real queue, real processes, a real Postgres.
//! Each module tests one behaviour.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test's helper fails its test"
)]

mod api;
mod app;
mod architecture;
mod bad_input;
mod browser;
mod chaos;
mod commands;
mod commits_held;
mod configuration;
mod connections;
mod crashes;
mod dashboards;
mod database;
#[cfg(feature = "dev")]
mod demo;
#[cfg(feature = "dev")]
mod dev;
mod diagnosis;
mod docs;
mod doctor;
mod duplicates;
mod failover;
mod flood;
mod health;
mod items;
mod keys;
mod left_jobs;
mod load;
mod media;
mod messages;
mod metrics;
mod mms;
mod models;
mod official_client;
mod official_signer;
mod operator_page;
mod outage;
mod paused;
mod privacy;
mod process;
mod rate_limit;
mod recovery;
mod replies;
mod role_flips;
mod senders;
mod sends;
mod settings;
#[cfg(feature = "dev")]
mod simulate;
mod simulated_twilio;
mod stale_reads;
mod stop;
mod traces;
mod unlinking;
mod wait;
mod webhook;
#[cfg(not(feature = "dev"))]
mod without_dev;
mod zero_loss;
