//! What operators' machines read: `/metrics`, `/healthz`, `/readyz` on `ADMIN_ADDR`. Never public.

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;

use crate::receiver::health;

/// The routes of the admin listener.
pub fn router(pool: PgPool, metrics: PrometheusHandle) -> Router {
    health::router(pool).route("/metrics", get(async move || metrics.render()))
}
