//! The settings of the observer: the worker that reads metrics from the database for all processes.

use super::{parse::limit, reader::Reader};

/// The observer.
#[derive(Debug, Clone)]
pub struct ObserverConfig {
    /// `VERIFICATION_DAILY_BUDGET`.
    pub daily_budget: u32,
    /// `SMS_PRICE_ESTIMATE`, in dollars.
    pub sms_price: f64,
}

impl ObserverConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let daily_budget = r.required("VERIFICATION_DAILY_BUDGET", limit);
        let sms_price = r.required("SMS_PRICE_ESTIMATE", |text| match text.parse() {
            Ok(dollars) if (0.0..=1000.0).contains(&dollars) => Ok(dollars),
            _ => Err("must be a number of dollars, such as 0.0083".to_owned()),
        });
        Some(Self {
            daily_budget: daily_budget?,
            sms_price: sms_price?,
        })
    }
}
