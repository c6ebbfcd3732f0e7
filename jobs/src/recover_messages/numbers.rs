//! The numbers of ours whose messages come to us, and how far each was looked at.

use chrono::{DateTime, Utc};
use store::recovery::{self, Watermark};

use crate::{RecoveryDeps, RecoveryNumbers, StepError};

/// Returns the database's time, and the watermarks of all our numbers. A dry run changes none.
pub(super) async fn watermarks(
    deps: &RecoveryDeps,
    dry_run: bool,
) -> Result<(DateTime<Utc>, Vec<Watermark>), StepError> {
    let mut numbers = match &deps.numbers {
        RecoveryNumbers::These(numbers) => numbers.clone(),
        RecoveryNumbers::PointingAt(url) => deps.twilio.numbers_with_webhook(url).await?,
    };
    numbers.sort_unstable(); // the order in which rows are locked
    numbers.dedup();
    let mut tx = deps.pool.begin().await?;
    let watermarks = recovery::watermarks_of(&mut tx, &deps.keyring, &numbers).await?;
    let now = store::now(&mut tx).await?;
    if dry_run {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }
    Ok((now, watermarks))
}
