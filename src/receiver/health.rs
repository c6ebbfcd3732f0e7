//! Is the process alive, and can it serve?

use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode, routing::get};
use sqlx::PgPool;
use store::StoreError;

/// How long the database may take to answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// `/healthz` and `/readyz`.
pub(crate) fn router(pool: PgPool) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(pool)
}

async fn readyz(State(pool): State<PgPool>) -> (StatusCode, &'static str) {
    let check = async {
        let mut conn = pool.acquire().await?;
        store::is_current(&mut conn).await
    };
    match tokio::time::timeout(DEADLINE, check).await {
        Ok(Ok(true)) => (StatusCode::OK, "ready\n"),
        Ok(Ok(false)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database is not migrated: run `pigeonhole migrate`\n",
        ),
        Ok(Err(StoreError::Unavailable(_))) | Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n",
        ),
        Ok(Err(_)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database cannot be read\n",
        ),
    }
}
