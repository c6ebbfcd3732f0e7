//! The limits on verification SMS: per user, per number, per client address, per number prefix, per
//! country, and in all.
//!
//! In toll fraud, an attacker has SMS sent to numbers that earn the attacker money. Each limit
//! bounds one way to do that.

use std::{net::IpAddr, time::Duration};

use sqlx::PgConnection;
use store::{
    Keyring,
    limit_log::{self, Exceeded, Limit},
    sends::{self, Purpose},
};
use uuid::Uuid;

use super::{client_ip, error::ApiError, number::SmsNumber};
use crate::config::VerificationConfig;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// How many digits count as a number's prefix: the country, the area, and a few of the operator's.
const PREFIX: usize = 8;

/// The pause after the first, the second and further sends within an hour.
const RESEND_DELAYS: [Duration; 5] = [
    Duration::from_secs(30),
    Duration::from_secs(40),
    Duration::from_mins(1),
    Duration::from_secs(90),
    Duration::from_mins(2),
];

/// The key that all SMS count by.
const BUDGET_KEY: &str = "all";

/// The limit on all verification SMS of 24 hours.
pub(crate) fn daily_budget(per_day: u32) -> Limit {
    Limit {
        key: BUDGET_KEY.to_owned(),
        most: per_day,
        window: DAY,
    }
}

/// The limits that one SMS counts against, with their labels in metrics.
pub(super) struct VerificationLimits {
    labels: Vec<&'static str>,
    limits: Vec<Limit>,
}

impl VerificationLimits {
    pub(super) fn of(
        config: &VerificationConfig,
        user: Uuid,
        number: &SmsNumber,
        ip: IpAddr,
    ) -> Self {
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
        let limit = |(label, key, most, window)| (label, Limit { key, most, window });
        let (labels, limits) = list.into_iter().map(limit).unzip();
        Self { labels, limits }
    }

    /// Refuses if a limit is used up. It takes no lock, so a flood of refused requests delays no
    /// other request.
    pub(super) async fn check(
        &self,
        conn: &mut PgConnection,
        keyring: &Keyring,
    ) -> Result<(), ApiError> {
        let refused = limit_log::exceeded(conn, keyring, &self.limits).await?;
        self.refuse(refused)
    }

    /// Refuses if a limit is used up. Takes a lock, so that until the transaction ends no other
    /// request uses what is left.
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
                limit: self.labels.get(limit).copied().unwrap_or("other"),
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

/// Refuses if the pause after the user's last SMS to this number is not over. A failed SMS starts
/// no pause.
pub(super) async fn check_resend(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user: Uuid,
    number: &SmsNumber,
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
