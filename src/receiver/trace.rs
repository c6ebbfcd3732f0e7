//! The trace that a webhook's work belongs to: the caller's, if it names one, else a new one.
//!
//! It is a W3C `traceparent` (<https://www.w3.org/TR/trace-context/#traceparent-header>), goes into the job's row, and
//! stands in the log lines of receiver and worker alike.

use axum::http::HeaderMap;

/// The request's `traceparent`, or a new one.
pub(super) fn of(headers: &HeaderMap) -> String {
    let given = headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok());
    given
        .filter(|text| is_traceparent(text))
        .map_or_else(new, str::to_owned)
}

fn new() -> String {
    format!(
        "00-{:032x}-{:016x}-01",
        rand::random::<u128>(),
        rand::random::<u64>()
    )
}

/// Version 00: four fields of lower-case hexadecimal digits, neither id all zeros.
fn is_traceparent(text: &str) -> bool {
    let fields: Vec<&str> = text.split('-').collect();
    let is_hex = |field: &str| {
        field
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |field: &str| field.bytes().all(|b| b == b'0');
    matches!(fields[..], [version, trace, span, flags]
        if version == "00" && trace.len() == 32 && span.len() == 16 && flags.len() == 2
            && is_hex(trace) && is_hex(span) && is_hex(flags) && !is_zero(trace) && !is_zero(span))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_good_traceparent_is_kept_and_any_other_is_replaced_by_a_good_one() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let with = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", HeaderValue::from_static(text));
            of(&headers)
        };
        assert_eq!(with(good), good);
        for bad in [
            "",
            "x",
            "00-0-0-0",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            let replaced = with(bad);
            assert!(
                replaced != bad && is_traceparent(&replaced),
                "{bad} became {replaced}"
            );
        }
    }
}
