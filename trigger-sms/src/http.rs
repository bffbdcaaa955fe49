//! The doors for SMS providers: routes, limits of size, time and number, and the answers every door gives.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use bytes::Bytes;
use chrono::Utc;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use ringback_common::service::Shutdown;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use crate::desk::Desk;
use crate::knock::{Buckets, Strangers, peer};
use crate::parts::{self, Parts, Reception};
use crate::providers::{Provider, Raw, Read, Told, TurnedAway, later};
use crate::replies::Via;
use crate::send::{Channels, Sources};
use crate::text::{Outcome, Text};

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
    desk: Arc<Desk>,
    sources: Arc<Sources>,
    /// Parts of long texts, of sources that do not join them.
    parts: HashMap<Via, Parts>,
    /// Fetches certificates, and answers confirmations.
    channels: Arc<Channels>,
    /// The listener is on a loopback address.
    loopback: bool,
    /// Whose `X-Forwarded-For` is believed.
    proxies: Vec<IpNet>,
    known: Mutex<Buckets<IpAddr>>,
    strangers: Mutex<Strangers>,
    /// How many mistakes of each peer are worth a line in the log.
    mistakes: Mutex<Buckets<IpAddr>>,
    /// How often each peer may make us fetch a certificate that is not known here: fewer than all of them together.
    certificates: Mutex<Buckets<IpAddr>>,
    /// How often strangers may make us ask a provider for something.
    errands: Mutex<Buckets<(Via, bool)>>,
    places: Semaphore,
}

impl Doors {
    /// Doors before this desk.
    pub fn new(
        reception: &Reception,
        sources: Arc<Sources>,
        channels: Arc<Channels>,
        loopback: bool,
        proxies: Vec<IpNet>,
    ) -> Doors {
        let in_parts = sources.iter().filter(|(_, source)| source.brings_parts());
        let parts = in_parts.map(|(via, _)| (via.clone(), Parts::new(reception, via.clone(), parts::WITHIN))).collect();
        Doors {
            desk: reception.desk.clone(),
            sources,
            parts,
            channels,
            loopback,
            proxies,
            known: Mutex::new(Buckets::new(4000, 2000.0)),
            strangers: Mutex::new(Strangers::new()),
            mistakes: Mutex::new(Buckets::new(30, 1.0)),
            certificates: Mutex::new(Buckets::new(2, 1.0 / 60.0)),
            errands: Mutex::new(Buckets::new(5, 0.2)),
            places: Semaphore::new(MOST_TEXTS),
        }
    }

    /// Refuses long texts whose parts do not come, until the shutdown.
    pub async fn watch_parts(&self, shutdown: &Shutdown) {
        futures::future::join_all(self.parts.values().map(|parts| parts.watch(shutdown))).await;
    }

    /// One request, from whichever source's door.
    async fn receive(&self, from: IpAddr, name: &str, secret: &str, request: Request) -> Response {
        let via = Via::new(name);
        let Some(source) = self.sources.get(&via) else { return not_found() };
        if !source.speaks(request.method()) {
            let message = "texts do not come to this source by this method";
            return (StatusCode::METHOD_NOT_ALLOWED, problem("method_not_allowed", message)).into_response();
        }
        let (parts, body) = request.into_parts();
        let from = self.sender(from, &parts.headers);
        let body = match whole(Request::from_parts(parts.clone(), body)).await {
            Ok(body) => body,
            Err((status, code, message)) => return self.correct(from, status, code, message),
        };
        let raw = Raw {
            method: &parts.method,
            secret,
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            body: &body,
            from,
            local: self.loopback && from.to_canonical().is_loopback(),
            now: Utc::now(),
        };
        match self.read(&via, source, &raw).await {
            Ok(Read::Texts(texts)) => match sensible(texts) {
                Ok(texts) => source.answer(&self.take(from, &via, texts).await),
                Err(message) => self.correct(from, StatusCode::BAD_REQUEST, "malformed", message),
            },
            Ok(Read::Nothing(what)) => {
                tracing::debug!(via = via.name(), "nothing to do: {what}");
                source.answer(&Outcome::Ignored("no_text"))
            }
            Ok(Read::Confirm(url)) => source.answer(&self.confirm(&via, source, url).await),
            Ok(Read::Certificate { .. }) => source.answer(&Outcome::Unavailable(Duration::from_secs(5))),
            Err(TurnedAway::Unproven(message)) => {
                self.turn_away(from, StatusCode::UNAUTHORIZED, "bad_signature", message)
            }
            Err(TurnedAway::Malformed(message)) => self.correct(from, StatusCode::BAD_REQUEST, "malformed", &message),
            Err(TurnedAway::NotSetUp(message)) => {
                (StatusCode::NOT_FOUND, problem("not_found", message)).into_response()
            }
        }
    }

    /// Reads a request, once more if a certificate had to be fetched first.
    async fn read(&self, via: &Via, source: &Provider, raw: &Raw<'_>) -> Result<Read, TurnedAway> {
        let read = source.read(raw)?;
        let Read::Certificate { url, known } = &read else { return Ok(read) };
        let may_fetch = || {
            let mut strangers = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
            strangers.take(peer(raw.from), Instant::now()).is_ok()
        };
        if !known && !may_fetch() {
            return Err(TurnedAway::Unproven("this peer named too many certificates lately that are not known here"));
        }
        match self
            .errand(via, *known, source, url)
            .await
            .and_then(|pem| source.learn(url, &pem, raw.now).map_err(str::to_owned))
        {
            Ok(()) => source.read(raw),
            Err(why) => {
                tracing::warn!(via = via.name(), %url, "the provider's certificate is not there: {why}");
                Ok(read)
            }
        }
    }

    async fn confirm(&self, via: &Via, source: &Provider, url: Url) -> Outcome {
        match self.errand(via, true, source, &url).await {
            Ok(_) => {
                tracing::info!(via = via.name(), "the subscription is confirmed");
                Outcome::Ignored("subscription_confirmed")
            }
            Err(why) => {
                tracing::warn!(via = via.name(), "the subscription cannot be confirmed: {why}");
                Outcome::Unavailable(Duration::from_secs(5))
            }
        }
    }

    /// Asks for something at an address of the provider's, not often; addresses that anybody may have made up never take the turns
    /// of those that proved to be the provider's.
    async fn errand(&self, via: &Via, known: bool, source: &Provider, url: &Url) -> Result<Vec<u8>, String> {
        let key = (via.clone(), known);
        let may = self.errands.lock().unwrap_or_else(PoisonError::into_inner).take(key, Instant::now());
        may.map_err(|_| "it was asked for too often lately".to_owned())?;
        self.channels.fetch(source.stand_in(url)).await
    }

    /// Takes the texts of one request. The worst outcome is the answer: a repeat finds the jobs that there are already.
    async fn take(&self, from: IpAddr, via: &Via, texts: Vec<Told>) -> Outcome {
        let mut worst = None;
        for told in texts {
            let outcome = self.take_one(from, via, told).await;
            if worst.as_ref().is_none_or(|worst| severity(&outcome) > severity(worst)) {
                worst = Some(outcome);
            }
        }
        worst.unwrap_or(Outcome::Ignored("no_text"))
    }

    async fn take_one(&self, from: IpAddr, via: &Via, told: Told) -> Outcome {
        let within = self.known.lock().unwrap_or_else(PoisonError::into_inner).take(peer(from), Instant::now());
        if let Err(wait) = within {
            return Outcome::Limited("too_many_requests", wait);
        }
        let Ok(_place) = self.places.try_acquire() else { return Outcome::Unavailable(Duration::from_secs(1)) };
        if let (Some(place), Some(parts)) = (&told.place, self.parts.get(via)) {
            return parts.take_text(&told.from, &told.to, &told.body, told.received, place).await;
        }
        let Told { id, from, to, body, received, metadata, place: _ } = told;
        self.desk.take(Text { via: via.clone(), id, from, to, body, received, metadata }).await
    }

    /// Who sent a request: the socket's address, whatever headers say; behind proxies of ours the last address in
    /// `X-Forwarded-For` that is none of them.
    fn sender(&self, socket: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_proxy = |address: &IpAddr| self.proxies.iter().any(|net| net.contains(&address.to_canonical()));
        if !is_proxy(&socket) {
            return socket;
        }
        let lines = headers.get_all("x-forwarded-for").iter().rev().filter_map(|line| line.to_str().ok());
        let mut hops = lines.flat_map(|line| line.rsplit(',')).map_while(|hop| hop.trim().parse::<IpAddr>().ok());
        hops.find(|hop| !is_proxy(hop)).unwrap_or(socket)
    }

    /// The answer to a request that proves nothing; to too many of them, a shorter one.
    fn turn_away(&self, from: IpAddr, status: StatusCode, code: &str, message: &str) -> Response {
        let within = self.strangers.lock().unwrap_or_else(PoisonError::into_inner).take(from, Instant::now());
        if let Err(wait) = within {
            let problem = problem("too_many_requests", "wait before the next request");
            return later(StatusCode::TOO_MANY_REQUESTS, wait, problem);
        }
        self.correct(from, status, code, message)
    }

    /// The answer to a request that cannot be read. It keeps its status however often it comes, so that its sender can mend it;
    /// only the log hears of the first ones alone.
    fn correct(&self, from: IpAddr, status: StatusCode, code: &str, message: &str) -> Response {
        let mut mistakes = self.mistakes.lock().unwrap_or_else(PoisonError::into_inner);
        if mistakes.take(peer(from), Instant::now()).is_ok() {
            tracing::warn!(peer = %from, status = status.as_u16(), code, "request turned away");
        }
        metrics::counter!("ringback_sms_turned_away_total", "code" => code.to_owned()).increment(1);
        (status, problem(code, message)).into_response()
    }
}

/// Accepted and refused texts are done with; those limited should be asked again, those not taken must be.
fn severity(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Ignored(_) => 0,
        Outcome::Rejected(_) | Outcome::Done(_) => 1,
        Outcome::Accepted(_) => 2,
        Outcome::Limited(..) => 3,
        Outcome::Unavailable(_) => 4,
    }
}

/// The texts that can be taken. An odd one does not cost those beside it; alone it is refused.
fn sensible(texts: Vec<Told>) -> Result<Vec<Told>, &'static str> {
    let first = texts.iter().map(is_sensible).find(Result::is_err);
    let good: Vec<Told> = texts.into_iter().filter(|told| is_sensible(told).is_ok()).collect();
    match first {
        Some(Err(message)) if good.is_empty() => Err(message),
        _ => Ok(good),
    }
}

fn is_sensible(told: &Told) -> Result<(), &'static str> {
    let bad_id = told.id.is_empty() || told.id.chars().count() > 255 || told.id.chars().any(char::is_control);
    if bad_id {
        return Err("id is the message's own id: 1 to 255 characters, no control characters");
    }
    let bad_address = |address: &str| address.chars().count() > 64 || address.chars().any(char::is_control);
    if bad_address(&told.from) || bad_address(&told.to) {
        return Err("from and to are at most 64 characters, no control characters");
    }
    Ok(())
}

/// Who is at the other end of the connection.
#[derive(Clone, Copy)]
struct Peer(SocketAddr);

/// All doors.
pub fn routes(doors: Arc<Doors>) -> Router {
    Router::new()
        .route("/sms/{name}", any(receive))
        .route("/sms/{name}/{secret}", any(receive))
        .fallback(async || not_found())
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(doors)
}

async fn receive(
    State(doors): State<Arc<Doors>>,
    Extension(Peer(from)): Extension<Peer>,
    Path(path): Path<HashMap<String, String>>,
    request: Request,
) -> Response {
    let part = |name: &str| path.get(name).map(String::as_str).unwrap_or_default();
    doors.receive(from.ip().to_canonical(), part("name"), part("secret"), request).await
}

fn not_found() -> Response {
    let message = "texts go to /sms/generic, /sms/twilio or /sms/NAME of a source in the settings";
    (StatusCode::NOT_FOUND, problem("not_found", message)).into_response()
}

/// The body, if it is short and comes in time.
///
/// # Errors
/// Status, code and sentence of the answer.
async fn whole(request: Request) -> Result<Bytes, (StatusCode, &'static str, &'static str)> {
    match tokio::time::timeout(PATIENCE, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "too_large", "a text has at most 64 kB"))
        }
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "incomplete", "the body did not come whole")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not come in time")),
    }
}

/// What machines read when there is no outcome.
fn problem(code: &str, message: &str) -> axum::Json<serde_json::Value> {
    axum::Json(json!({ "error": code, "message": message }))
}

/// Serves until shutdown, then lets answers under way end. From then on whoever comes is asked to come back, for as long as
/// this process lives: live calls may take a while to end.
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
    tokio::spawn(turn_back(listener));
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_ANSWERS, ended).await.is_err() {
        tracing::warn!("some requests were cut off by the shutdown; their sources repeat them");
    }
}

/// Answers everybody "not now".
async fn turn_back(listener: TcpListener) {
    let closing = async || {
        let problem = problem("shutting_down", "send it again with the same id");
        let response = later(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(5), problem);
        ([(header::CONNECTION, "close")], response).into_response()
    };
    let routes = Router::new().fallback(closing);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Some((stream, address, place)) = accept(&listener, &places).await else { continue };
        let routes = routes.clone();
        tokio::spawn(async move {
            let _place = place;
            converse(stream, Peer(address), routes, Shutdown::new()).await;
        });
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
