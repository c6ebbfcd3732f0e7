//! Who finds what messages say. A model itself is not asked: each question costs.

use super::{
    configuration::{part, unusable},
    finding::Finding,
};
use crate::config::{Env, ExtractionConfig};

const CHECK: &str = "model";

pub(super) fn check(env: &Env) -> Finding {
    let who = part(env, |r| {
        let who = r.text("EXTRACTOR").unwrap_or_default().to_owned();
        ExtractionConfig::read(r).map(|_| who)
    });
    match who.as_deref() {
        None => unusable(CHECK),
        Some("rules") => Finding::ok(CHECK, "EXTRACTOR is rules: no model is asked"),
        Some(model) => Finding::ok(
            CHECK,
            format!("EXTRACTOR is {model}, and has the settings it needs; it was not asked"),
        ),
    }
}
