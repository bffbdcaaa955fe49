//! The doors for SMS providers: routes, limits of size, time and number, and the answers every door gives.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ringback_common::config::{GenericSmsConfig, TwilioSmsConfig};
use ringback_common::service::Shutdown;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::desk::{Desk, Outcome, Text};
use crate::gate::{Buckets, Strangers, peer};
use crate::{generic, twilio};

/// A body may be so long.
const MOST_BYTES: usize = 64 * 1024;
/// All headers together may be so long.
const MOST_HEADER_BYTES: usize = 16 * 1024;
/// The headers, and then the body, must be there within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many connections are open at a time; more wait at the door.
const MOST_CONNECTIONS: usize = 1024;
/// How many texts are worked on at a time; more are asked to come back.
const MOST_TEXTS: usize = 512;
/// How long a shutdown waits for answers under way.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// What the doors share.
pub struct Doors {
    /// Where texts are taken.
    pub desk: Desk,
    /// `[sms.generic]`
    pub generic: GenericSmsConfig,
    /// `[sms.twilio]`
    pub twilio: TwilioSmsConfig,
    /// The listener is on a loopback address.
    pub loopback: bool,
    known: Mutex<Buckets<IpAddr>>,
    strangers: Mutex<Strangers>,
    /// How many mistakes of each peer are worth a line in the log.
    mistakes: Mutex<Buckets<IpAddr>>,
    places: Semaphore,
}

impl Doors {
    /// Doors before this desk.
    pub fn new(desk: Desk, generic: GenericSmsConfig, twilio: TwilioSmsConfig, loopback: bool) -> Doors {
        Doors {
            desk,
            generic,
            twilio,
            loopback,
            known: Mutex::new(Buckets::new(4000, 2000.0)),
            strangers: Mutex::new(Strangers::new()),
            mistakes: Mutex::new(Buckets::new(30, 1.0)),
            places: Semaphore::new(MOST_TEXTS),
        }
    }

    /// Takes a text from a peer that has proved who it is. The peer is the socket's address, whatever headers say.
    pub async fn take(&self, from: Peer, text: Text) -> Outcome {
        let within = self.known.lock().unwrap_or_else(PoisonError::into_inner).take(peer(from.0.ip()), Instant::now());
        if let Err(wait) = within {
            return Outcome::Limited("too_many_requests", wait);
        }
        let Ok(_place) = self.places.try_acquire() else { return Outcome::Unavailable(Duration::from_secs(1)) };
        self.desk.take(text).await
    }

    /// The answer to a request that proves nothing; to too many of them, a shorter one.
    pub fn turn_away(&self, from: Peer, status: StatusCode, code: &str, message: &str) -> Response {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(wait) = strangers.take(from.0.ip(), Instant::now()) {
            return later(
                StatusCode::TOO_MANY_REQUESTS,
                wait,
                problem("too_many_requests", "wait before the next request"),
            );
        }
        drop(strangers);
        self.correct(from, status, code, message)
    }

    /// The answer to a request that cannot be read. It keeps its status however often it comes, so that its sender can mend it;
    /// only the log hears of the first ones alone.
    pub fn correct(&self, from: Peer, status: StatusCode, code: &str, message: &str) -> Response {
        let mut mistakes = self.mistakes.lock().unwrap_or_else(PoisonError::into_inner);
        if mistakes.take(peer(from.0.ip()), Instant::now()).is_ok() {
            tracing::warn!(peer = %from.0.ip(), status = status.as_u16(), code, "request turned away");
        }
        metrics::counter!("ringback_sms_turned_away_total", "code" => code.to_owned()).increment(1);
        (status, problem(code, message)).into_response()
    }
}

/// Who is at the other end of the connection.
#[derive(Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// All doors.
pub fn routes(doors: Arc<Doors>) -> Router {
    Router::new()
        .route("/sms/generic", post(generic::receive))
        .route("/sms/twilio", post(twilio::receive))
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, problem("method_not_allowed", "texts are POSTed"))
        })
        .fallback(async || {
            (StatusCode::NOT_FOUND, problem("not_found", "texts are POSTed to /sms/generic or /sms/twilio"))
        })
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(doors)
}

/// The body, if it is short and comes in time.
///
/// # Errors
/// Status, code and sentence of the answer.
pub async fn body(request: Request) -> Result<Bytes, (StatusCode, &'static str, &'static str)> {
    match tokio::time::timeout(PATIENCE, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "too_large", "a text has at most 64 kB"))
        }
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "incomplete", "the body did not come whole")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not come in time")),
    }
}

/// Whether a browser sent this: an unsigned door is not for pages that a user of this machine happens to visit.
pub fn is_from_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// What machines read when there is no outcome.
pub fn problem(code: &str, message: &str) -> axum::Json<serde_json::Value> {
    axum::Json(json!({ "error": code, "message": message }))
}

/// An answer that says when to come back.
pub fn later(status: StatusCode, wait: Duration, body: impl IntoResponse) -> Response {
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    (status, [(header::RETRY_AFTER, format!("{seconds}"))], body).into_response()
}

/// Serves until shutdown, then lets answers under way end.
pub async fn serve(listener: TcpListener, routes: Router, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, address, place)) = accepted else { continue };
        let (routes, shutdown) = (routes.clone(), shutdown.clone());
        connections.spawn(async move {
            let _place = place;
            converse(stream, Peer(address), routes, shutdown).await;
        });
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_ANSWERS, ended).await.is_err() {
        tracing::warn!("some requests were cut off by the shutdown; their sources repeat them");
    }
}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, SocketAddr, Place)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => Some((stream, address, place)),
        Err(error) => {
            tracing::warn!("a connection could not be accepted: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// All requests of one connection.
async fn converse(stream: TcpStream, from: Peer, routes: Router, shutdown: Shutdown) {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(routes.layer(axum::Extension(from)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE * 3)
        .max_buf_size(MOST_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.wait() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
