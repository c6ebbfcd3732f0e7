//! How many verification SMS there may be: per user, per number whoever asks, per address, per kind of number, in all.
//!
//! Toll fraud is somebody having SMS sent to numbers that they earn by; each limit bounds one way of going about it.

use std::{net::IpAddr, time::Duration};

use sqlx::PgConnection;
use store::{
    Keyring,
    limit_log::{self, Exceeded, Limit},
    sends::{self, Purpose},
};
use uuid::Uuid;

use super::{client_ip, error::ApiError, number::Number};
use crate::config::VerificationConfig;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Digits of a number that count as its prefix: country, area, and a few of the operator's.
const PREFIX: usize = 8;

/// How long to wait after the first, second and further sends within an hour before the next.
const RESEND_DELAYS: [Duration; 5] = [
    Duration::from_secs(30),
    Duration::from_secs(40),
    Duration::from_mins(1),
    Duration::from_secs(90),
    Duration::from_mins(2),
];

/// What all SMS count by.
const BUDGET_KEY: &str = "all";

/// How many verification SMS there may be in all, of which so many a day.
pub(crate) fn daily_budget(per_day: u32) -> Limit {
    Limit {
        key: BUDGET_KEY.to_owned(),
        most: per_day,
        window: DAY,
    }
}

/// The limits that one SMS counts for, with their names in metrics.
pub(super) struct Limits {
    names: Vec<&'static str>,
    limits: Vec<Limit>,
}

impl Limits {
    pub(super) fn of(config: &VerificationConfig, user: Uuid, number: &Number, ip: IpAddr) -> Self {
        let digits = number.e164.as_str();
        let prefix: String = digits.chars().skip(1).take(PREFIX).collect();
        let (user, country) = (format!("user:{user}"), number.country.code());
        let number = format!("number:{digits}");
        let list = [
            ("user_hour", user.clone(), 5, HOUR),
            ("user_day", user, 10, DAY),
            ("number_10min", number.clone(), 3, Duration::from_mins(10)),
            ("number_hour", number.clone(), 5, HOUR),
            ("number_day", number, 10, DAY),
            ("ip", client_ip::limit_key(ip), config.per_ip, HOUR),
            (
                "prefix",
                format!("prefix:{prefix}"),
                config.per_prefix,
                HOUR,
            ),
            (
                "country",
                format!("country:{country}"),
                config.per_country,
                HOUR,
            ),
            ("budget", BUDGET_KEY.to_owned(), config.per_day, DAY),
        ];
        let limit = |(name, key, most, window)| (name, Limit { key, most, window });
        let (names, limits) = list.into_iter().map(limit).unzip();
        Self { names, limits }
    }

    /// Refuses if a limit is used up. Without a lock, so that a flood of asks that are refused holds up nobody.
    pub(super) async fn check(
        &self,
        conn: &mut PgConnection,
        keyring: &Keyring,
    ) -> Result<(), ApiError> {
        let refused = limit_log::exceeded(conn, keyring, &self.limits).await?;
        self.refuse(refused)
    }

    /// The same, and until the transaction ends nobody else takes what is left.
    pub(super) async fn lock(
        &self,
        conn: &mut PgConnection,
        keyring: &Keyring,
    ) -> Result<(), ApiError> {
        limit_log::lock(conn).await?;
        self.check(conn, keyring).await
    }

    fn refuse(&self, exceeded: Option<Exceeded>) -> Result<(), ApiError> {
        match exceeded {
            None => Ok(()),
            Some(Exceeded { limit, wait }) => Err(ApiError::RateLimited {
                limit: self.names.get(limit).copied().unwrap_or("other"),
                wait,
            }),
        }
    }

    /// Counts one SMS.
    pub(super) async fn record(
        &self,
        conn: &mut PgConnection,
        keyring: &Keyring,
    ) -> Result<(), ApiError> {
        Ok(limit_log::record(conn, keyring, &self.limits).await?)
    }
}

/// Refuses if the user's last SMS to this number was a moment ago. One that failed starts no waiting time.
pub(super) async fn check_resend(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user: Uuid,
    number: &Number,
) -> Result<(), ApiError> {
    let recent = sends::recent_to(
        conn,
        keyring,
        user,
        Purpose::Verification,
        &number.e164,
        HOUR,
    )
    .await?;
    let Some((count, since)) = recent else {
        return Ok(());
    };
    match resend_delay(count).checked_sub(since) {
        Some(wait) if !wait.is_zero() => Err(ApiError::ResendTooSoon { wait }),
        _ => Ok(()),
    }
}

fn resend_delay(sends: u32) -> Duration {
    let at = usize::try_from(sends).unwrap_or(usize::MAX);
    match at.min(RESEND_DELAYS.len()).checked_sub(1) {
        Some(at) => RESEND_DELAYS[at],
        None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resend_waits_longer_up_to_two_minutes() {
        let delays: Vec<u64> = (0..8).map(|n| resend_delay(n).as_secs()).collect();
        assert_eq!(delays, [0, 30, 40, 60, 90, 120, 120, 120]);
    }
}
