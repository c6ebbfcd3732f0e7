//! What fails.

use rand::seq::SliceRandom;

/// A part of the system. Of one part, one fault happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Receiver,
    Worker,
    Database,
    Twilio,
}

/// A fault, from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ZeroLossFault {
    /// `kill -9`; another one starts at the end.
    ReceiverKilled,
    /// It freezes, and goes on at the end.
    ReceiverFrozen,
    /// It stops in order; another one starts at the end.
    ReceiverDeployed,
    /// The same for a worker.
    WorkerKilled,
    /// It freezes for longer than its leases.
    WorkerFrozen,
    /// The same as for the receiver.
    WorkerDeployed,
    /// Postgres ends at once; it starts at the end.
    PostgresCrashed,
    /// Nothing passes between the program and Postgres.
    NetworkStalled,
    /// Webhooks reach nobody.
    WebhooksLost,
    /// Twilio's API answers 429.
    TwilioThrottles,
    /// Twilio's API answers 500.
    TwilioFails,
}

const ALL: [ZeroLossFault; 11] = [
    ZeroLossFault::ReceiverKilled,
    ZeroLossFault::ReceiverFrozen,
    ZeroLossFault::ReceiverDeployed,
    ZeroLossFault::WorkerKilled,
    ZeroLossFault::WorkerFrozen,
    ZeroLossFault::WorkerDeployed,
    ZeroLossFault::PostgresCrashed,
    ZeroLossFault::NetworkStalled,
    ZeroLossFault::WebhooksLost,
    ZeroLossFault::TwilioThrottles,
    ZeroLossFault::TwilioFails,
];

impl ZeroLossFault {
    fn part(self) -> Part {
        match self {
            Self::ReceiverKilled | Self::ReceiverFrozen | Self::ReceiverDeployed => Part::Receiver,
            Self::WorkerKilled | Self::WorkerFrozen | Self::WorkerDeployed => Part::Worker,
            Self::PostgresCrashed | Self::NetworkStalled => Part::Database,
            Self::WebhooksLost | Self::TwilioThrottles | Self::TwilioFails => Part::Twilio,
        }
    }
}

/// One, two or three faults of different parts, which happen at the same time.
pub(super) fn at_random() -> Vec<ZeroLossFault> {
    let mut all = ALL.to_vec();
    all.shuffle(&mut rand::rng());
    let wanted = rand::random_range(1..=3);
    let mut chosen: Vec<ZeroLossFault> = Vec::new();
    for fault in all {
        if chosen.len() < wanted && chosen.iter().all(|other| other.part() != fault.part()) {
            chosen.push(fault);
        }
    }
    chosen
}
