//! Health and metrics over HTTP, on a loopback address: `/healthz`, `/readyz`, `/metrics`.

mod exposition;
mod inventory;
mod legs;
mod metrics;
mod process;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::config::Web;
use crate::readiness;
use crate::session::Service;

/// How many connections are served at once; more wait.
const CONNECTIONS: usize = 32;

/// How long a request's head may take, also the next one's on a kept connection.
const HEAD: Duration = Duration::from_secs(10);

/// After an error of the system (too many open files, for one) there is nothing to do but wait.
const AFTER_ERROR: Duration = Duration::from_millis(100);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The web listener can't be started.
#[derive(Debug, thiserror::Error)]
#[error("web.listen {address}: {cause}; is another server there?")]
pub struct WebError {
    address: SocketAddr,
    cause: io::Error,
}

/// Serves until the service is stopped.
///
/// # Errors
/// [`WebError`] when the address can't be listened on.
pub(crate) async fn serve(
    web: &Web,
    service: &Service,
    tasks: &TaskTracker,
) -> Result<(), WebError> {
    let address = web.listen;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|cause| WebError { address, cause })?;
    let accept = accept(listener, service.clone(), tasks.clone());
    tasks.spawn(
        service
            .ending
            .asked
            .clone()
            .run_until_cancelled_owned(accept),
    );
    Ok(())
}

async fn accept(listener: TcpListener, service: Service, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let stop = service.ending.asked.clone();
                let connection = connection(stream, service.clone(), place);
                tasks.spawn(stop.run_until_cancelled_owned(connection));
            }
            Err(cause) => {
                tracing::warn!(%cause, "the web listener can't accept a connection");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, service: Service, _place: OwnedSemaphorePermit) {
    let answer = service_fn(|request| answer(request, &service));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a web connection has ended");
    }
}

async fn answer(
    request: Request<Incoming>,
    service: &Service,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return Ok(refusal);
    }
    Ok(match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => ready(service).await,
        "/metrics" => metrics(service).await,
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz and /metrics\n",
        ),
    })
}

async fn ready(service: &Service) -> Response<Full<Bytes>> {
    let checks = readiness::checks(&service.participant).await;
    let status = match checks.iter().all(readiness::Check::is_passed) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let lines: String = checks.iter().map(|check| format!("{check}\n")).collect();
    text(status, lines)
}

async fn metrics(service: &Service) -> Response<Full<Bytes>> {
    match metrics::scrape(service).await {
        Ok(page) => {
            let mut page = text(StatusCode::OK, page);
            let kind = HeaderValue::from_static(exposition::CONTENT_TYPE);
            page.headers_mut().insert(CONTENT_TYPE, kind);
            page
        }
        Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}
