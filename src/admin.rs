//! What operators' machines read: `/metrics`, `/healthz`, `/readyz` on `ADMIN_ADDR`. Never public.

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;

use crate::{observer::Page, receiver::health};

/// The routes of the admin listener.
pub(crate) fn router(pool: PgPool, metrics: PrometheusHandle, observed: Page) -> Router {
    let all = async move || metrics.render() + &observed.text();
    health::router(pool).route("/metrics", get(all))
}
