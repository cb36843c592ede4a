//! What is asked over HTTP: metrics and health.
//!
//! ```text
//!   GET /metrics    Prometheus's text format
//!   GET /healthz    200 while the process lives
//!   GET /readyz     200 if clients of every database can be served, else 503; the body says what is missing
//! ```
//!
//! It runs on the control thread and reads what the workers have counted, so a scrape never delays a statement. It
//! stays reachable while the process drains.

mod readiness;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::telemetry::metrics::Exporter;
use crate::telemetry::overview::Overview;

/// The media type of Prometheus's text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whose metrics and health are asked for.
pub trait Subject: Send + Sync + 'static {
    /// It as it is now. Must not block.
    fn overview(&self) -> Overview;
}

struct Service {
    subject: Arc<dyn Subject>,
    exporter: Mutex<Exporter>,
}

/// Answers requests until the task is aborted.
///
/// # Errors
///
/// What the operating system says when nobody can connect any more.
///
/// # Cancel safety
///
/// Dropping the future closes the listener; requests that are being answered still are.
pub async fn serve(listener: TcpListener, subject: Arc<dyn Subject>) -> io::Result<()> {
    axum::serve(listener, router(subject)).await
}

fn router(subject: Arc<dyn Subject>) -> Router {
    let service = Arc::new(Service { subject, exporter: Mutex::default() });
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .fallback(async || (StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n"))
        .with_state(service)
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let overview = service.subject.overview();
    let text = service.exporter.lock().render(&overview);
    ([(header::CONTENT_TYPE, PROMETHEUS)], text).into_response()
}

async fn readyz(State(service): State<Arc<Service>>) -> Response {
    let (verdict, body) = readiness::judge(&service.subject.overview());
    let status = match verdict {
        readiness::Verdict::Ready => StatusCode::OK,
        readiness::Verdict::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, axum::Json(body)).into_response()
}
