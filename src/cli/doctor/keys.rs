//! Checks the keys: whether they open the sealed values, and which older keys are still needed.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use store::{
    KeyId, Keyring,
    diagnostics::{self, ColumnSeals},
};

use super::finding::Finding;

const CHECK: &str = "keys";

pub(super) async fn check(conn: &mut PgConnection, keyring: &Keyring) -> Vec<Finding> {
    let (seals, opt_outs) = match (
        diagnostics::seals(conn, keyring).await,
        diagnostics::has_opt_outs(conn).await,
    ) {
        (Ok(seals), Ok(opt_outs)) => (seals, opt_outs),
        (Err(error), _) | (_, Err(error)) => return vec![Finding::failed(CHECK, error)],
    };
    let mut findings = judge(&seals, &keyring.ids(), opt_outs);
    findings.push(clear_numbers(conn).await);
    findings
}

/// Phone numbers that the app stored unencrypted.
async fn clear_numbers(conn: &mut PgConnection) -> Finding {
    let check = "clear_numbers";
    match diagnostics::clear_numbers(conn).await {
        Ok(0) => Finding::ok(check, "no phone number is stored unencrypted"),
        Ok(rows) => Finding::warning(
            check,
            format!("the app stored {rows} phone numbers unencrypted"),
            "pigeonhole phone-numbers seal",
        ),
        Err(error) => Finding::failed(check, error),
    }
}

/// `ring` lists the ids of the configured keys, that of `ENCRYPTION_KEY` first.
fn judge(seals: &[ColumnSeals], ring: &[KeyId], opt_outs: bool) -> Vec<Finding> {
    let mut lost: BTreeMap<KeyId, Vec<&ColumnSeals>> = BTreeMap::new();
    let mut findings = Vec::new();
    for seals in seals {
        match seals.key {
            Some(key) if !ring.contains(&key) => lost.entry(key).or_default().push(seals),
            _ if seals.opens => {}
            _ => findings.push(Finding::fault(
                CHECK,
                format!(
                    "{}.{} has values that do not open, although their key is configured: they were changed, or \
                     copied from another row",
                    seals.table, seals.column
                ),
                "restore these rows from a backup",
            )),
        }
    }
    for (key, seals) in lost {
        findings.push(Finding::fault(
            CHECK,
            format!(
                "{} were sealed with key {key}, which is neither ENCRYPTION_KEY nor in ENCRYPTION_KEYS_OLD",
                places(&seals)
            ),
            "add that key to ENCRYPTION_KEYS_OLD of all receivers and workers",
        ));
    }
    let count = |key: KeyId| {
        let of_key = seals.iter().filter(|seals| seals.key == Some(key));
        of_key.map(|seals| seals.values).sum::<i64>()
    };
    let whole = if seals.iter().all(|seals| seals.whole) {
        ""
    } else {
        " (of large tables, only a part was checked)"
    };
    if findings.is_empty() {
        findings.push(match ring.first() {
            Some(current) if seals.is_empty() => Finding::ok(
                CHECK,
                format!("no value is sealed yet; ENCRYPTION_KEY is key {current}"),
            ),
            Some(current) => Finding::ok(
                CHECK,
                format!(
                    "all sealed values open; ENCRYPTION_KEY is key {current}, with {} values{whole}",
                    count(*current)
                ),
            ),
            None => Finding::unchecked(CHECK, "no key is configured"),
        });
    }
    for (at, key) in ring.iter().enumerate().skip(1) {
        findings.push(older(at, *key, count(*key), whole, opt_outs));
    }
    findings
}

fn older(at: usize, key: KeyId, values: i64, whole: &str, opt_outs: bool) -> Finding {
    let name = format!("number {at} of ENCRYPTION_KEYS_OLD, key {key},");
    let says = match (values, opt_outs) {
        (1.., _) => format!("{name} is needed: {values} values are sealed with it{whole}"),
        (_, true) => format!(
            "{name} has no values left{whole}. Keep it: only this key finds the opt-outs (STOP) that were stored with it, \
             and opt-outs never expire"
        ),
        (_, false) => format!("{name} has no values left; you can remove it{whole}"),
    };
    Finding::ok("older_keys", says)
}

/// The number of values in each column.
fn places(seals: &[&ColumnSeals]) -> String {
    let places = seals
        .iter()
        .map(|seals| format!("{} of {}.{}", seals.values, seals.table, seals.column));
    let places: Vec<_> = places.collect();
    format!("values ({})", places.join(", "))
}
