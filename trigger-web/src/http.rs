//! The routes: the form, the post, the callback's page, its live stream, and the three small files they need.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, Path, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use uuid::Uuid;

use crate::ask::{Answer, Asker};
use crate::guard::guard;
use crate::live::Live;
use crate::pages;
use crate::picture::Picture;

/// A form is far smaller.
const MAX_BODY: usize = 8 * 1024;

/// What the routes share.
pub struct Site {
    /// Submits callbacks on the account.
    pub asker: Asker,
    /// Knows the pictures.
    pub live: Live,
    /// In every form of this process; a page of another site cannot read it.
    pub token: String,
}

/// All routes of the page.
pub fn routes(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(form))
        .route("/call", post(call))
        .route("/call/{job}", get(show))
        .route("/call/{job}/events", get(events))
        .route("/static/ringback.css", get(|| file("text/css", include_str!("../static/ringback.css"))))
        .route("/static/live.js", get(|| file("text/javascript", include_str!("../static/live.js"))))
        .route("/static/icon.svg", get(|| file("image/svg+xml", include_str!("../static/icon.svg"))))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "No such page", "Go back to the form.") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(guard))
        .with_state(site)
}

async fn form(State(site): State<Arc<Site>>) -> Response {
    blank(&site, StatusCode::OK, "", "", None)
}

fn blank(site: &Site, status: StatusCode, a: &str, b: &str, problem: Option<&str>) -> Response {
    let once = Uuid::new_v4().to_string();
    let page = pages::Form { token: &site.token, once: &once, a, b, paid_by: site.asker.account(), problem };
    (status, html(&page)).into_response()
}

/// The fields of the form, and no others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    token: String,
    once: String,
    a: String,
    b: String,
}

async fn call(State(site): State<Arc<Site>>, fields: Result<Form<Fields>, FormRejection>) -> Response {
    let fields = match fields {
        Ok(Form(fields)) => fields,
        Err(rejection) => {
            let status = match rejection.status() {
                StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                other => other,
            };
            return problem(status, "The form did not arrive whole", "Open the form and send it again.");
        }
    };
    if fields.token != site.token {
        return problem(StatusCode::FORBIDDEN, "Not from this page", "Open the form and send it again.");
    }
    let Ok(once) = Uuid::parse_str(&fields.once) else {
        return problem(StatusCode::BAD_REQUEST, "The form did not arrive whole", "Open the form and send it again.");
    };
    match site.asker.ask(&once.to_string(), &fields.a, &fields.b).await {
        Answer::Accepted { job, a, b } => {
            site.live.expect(Picture::requested(job.as_str(), &a, Some(&b)));
            Redirect::to(&format!("/call/{job}")).into_response()
        }
        Answer::Refused(why) => blank(&site, StatusCode::UNPROCESSABLE_ENTITY, &fields.a, &fields.b, Some(&why)),
        Answer::Later { why, seconds } => {
            let mut answer = blank(&site, StatusCode::SERVICE_UNAVAILABLE, &fields.a, &fields.b, Some(&why));
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            answer
        }
    }
}

async fn show(State(site): State<Arc<Site>>, Path(job): Path<String>) -> Response {
    match site.live.picture(&job).await {
        Ok(Some(picture)) => html(&pages::Call { picture: &picture }).into_response(),
        Ok(None) => unknown(),
        Err(error) => away(&error),
    }
}

async fn events(State(site): State<Arc<Site>>, Path(job): Path<String>) -> Response {
    match site.live.picture(&job).await {
        Ok(Some(picture)) => match site.live.follow(picture) {
            Some(stream) => stream,
            None => problem(StatusCode::SERVICE_UNAVAILABLE, "Too many watch", "Reload the page in a moment."),
        },
        Ok(None) => unknown(),
        Err(error) => away(&error),
    }
}

async fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], text).into_response()
}

fn unknown() -> Response {
    problem(StatusCode::NOT_FOUND, "No such callback", "It may have been too long ago.")
}

fn away(error: &dyn std::fmt::Display) -> Response {
    tracing::warn!("the page cannot ask the store: {error}");
    problem(StatusCode::SERVICE_UNAVAILABLE, "Not now", "Something of ours does not answer. Try again in a minute.")
}

/// A page that says what went wrong.
pub fn problem(status: StatusCode, headline: &str, detail: &str) -> Response {
    (status, html(&pages::Problem { headline, code: Some(status.as_u16()), detail })).into_response()
}

fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!("a page cannot be drawn: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
