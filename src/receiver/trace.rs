//! The trace of a request's work: the client's trace if the request names one, else a new one.
//!
//! It is a W3C `traceparent` (<https://www.w3.org/TR/trace-context/#traceparent-header>). It is
//! stored with the job, and both the receiver's and the worker's log lines hold it. Where spans are
//! collected, it names the request's own span, and the job's span becomes a child of that span.

use axum::http::HeaderMap;
use tracing::Span;

use crate::traces::{self, TRACEPARENT};

/// The header with Twilio's id of one delivery of a webhook. It is not signed.
const REQUEST: &str = "i-twilio-idempotency-token";

/// Opens a request's span, which must have a field `trace`. Returns the span, and the trace for the
/// request's jobs.
pub(super) fn begin(
    headers: &HeaderMap,
    open: impl FnOnce(Option<&str>) -> Span,
) -> (Span, String) {
    let given = text(headers, TRACEPARENT).filter(|text| is_traceparent(text));
    if !traces::is_on() {
        let trace = given.map_or_else(new_trace, str::to_owned);
        return (open(Some(&trace)), trace);
    }
    let span = open(None);
    let trace = traces::link_trace(&span, given).unwrap_or_else(new_trace);
    span.record("trace", &trace);
    (span, trace)
}

/// Twilio's id of the request. Any client can write the header, so other texts are ignored.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let is_id = |text: &&str| {
        (8..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text(headers, REQUEST).filter(is_id)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn new_trace() -> String {
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
    fn a_valid_traceparent_is_kept_and_any_other_is_replaced_by_a_new_one() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let with = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", HeaderValue::from_static(text));
            begin(&headers, |_| Span::none()).1
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

    #[test]
    fn a_request_id_is_kept_only_if_it_looks_like_twilios() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST, HeaderValue::from_static(text));
            request_id(&headers).map(str::to_owned)
        };
        let good = "6a1b8c1e-33f1-4a6e-9d7c-0d8d1c9b7a55";
        assert_eq!(of(good).as_deref(), Some(good));
        for bad in [
            "",
            "+12025550123",
            "my token is this",
            "<script>alert(1)</script>",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
