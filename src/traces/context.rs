//! Converts a W3C `traceparent` to a span and back. A job's row holds it, so a trace goes on in the
//! next process.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use opentelemetry::{propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header's name, and the propagator's key.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Set once, when the process starts to collect spans.
pub(super) static ON: AtomicBool = AtomicBool::new(false);

/// Whether spans are collected.
pub(crate) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// The function that links an attempt's span to the span that enqueued the job. `None` while no
/// spans are collected.
pub(crate) fn link_trace_of_jobs() -> Option<queue::LinkTrace> {
    is_on().then_some(link_trace)
}

/// Makes a span a child of the span that this `traceparent` names, and returns the span's own
/// `traceparent`. The span must not have been entered yet. `None` if it is not collected.
pub(crate) fn link_trace(span: &Span, parent: Option<&str>) -> Option<String> {
    let propagator = TraceContextPropagator::new();
    if let Some(parent) = parent {
        let carrier = HashMap::from([(TRACEPARENT.to_owned(), parent.to_owned())]);
        let context = propagator.extract(&carrier);
        if context.span().span_context().is_valid() && span.set_parent(context).is_err() {
            return None;
        }
    }
    let mut carrier = HashMap::new();
    propagator.inject_context(&span.context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}
