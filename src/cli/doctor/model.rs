//! Checks the settings of the extractor. It sends no request to a model, because each request costs
//! money.

use super::{
    configuration::{part, unusable},
    finding::Finding,
};
use crate::config::{Env, ExtractionConfig};

const CHECK: &str = "model";

pub(super) fn check(env: &Env) -> Finding {
    let extractor = part(env, |r| {
        let extractor = r.text("EXTRACTOR").unwrap_or_default().to_owned();
        ExtractionConfig::read(r).map(|_| extractor)
    });
    match extractor.as_deref() {
        None => unusable(CHECK),
        Some("rules") => Finding::ok(CHECK, "EXTRACTOR is rules, which needs no model"),
        Some(model) => Finding::ok(
            CHECK,
            format!(
                "EXTRACTOR is {model}, and its settings are complete; no request was sent to the model"
            ),
        ),
    }
}
