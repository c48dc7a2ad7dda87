//! Sessions with their CSRF tokens, and the pages that say no.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};

use super::{App, locked};
use crate::patient::secret;

const SESSION_COOKIE: &str = "shop_session";
const CSRF_HEADER: &str = "x-csrf-token";

/// The front page: a session, and its CSRF token where browsers keep it.
pub(super) async fn shop(State(app): State<Arc<App>>) -> Response {
    let (session, csrf) = (secret(), secret());
    locked(&app.sessions).insert(session.clone(), csrf.clone());
    let cookie = format!("{SESSION_COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax");
    let page = format!(
        "<!doctype html>\n<html><head><title>Tickets</title>\n\
         <meta name=\"csrf\" content=\"{csrf}\">\n</head><body><h1>Tickets</h1></body></html>\n"
    );
    ([(header::SET_COOKIE, cookie)], Html(page)).into_response()
}

impl App {
    /// The session of the cookie, if the CSRF token is its own.
    pub(super) fn session(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let cookies = text("cookie").unwrap_or_default();
        let session = cookies
            .split(';')
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find_map(|(name, value)| (name == SESSION_COOKIE).then_some(value));
        let session = session.ok_or(Refusal::Forbidden)?;
        match locked(&self.sessions).get(session) {
            Some(csrf) if text(CSRF_HEADER) == Some(csrf) => Ok(session.to_owned()),
            Some(_) | None => Err(Refusal::Forbidden),
        }
    }
}

pub(super) type Answer = Result<Response, Refusal>;

/// What a visitor gets instead of what was asked for.
pub(super) enum Refusal {
    /// A sentence on a page.
    Prose(String),
    /// No session, another session's token, or no administrator.
    Forbidden,
    Missing,
    Broken,
}

impl Refusal {
    pub(super) fn sold_out(headers: &HeaderMap) -> Self {
        let language = headers.get(header::ACCEPT_LANGUAGE);
        let german = language.is_some_and(|language| language.as_bytes().starts_with(b"de"));
        let text = if german { "Leider ausverkauft" } else { "Sorry, this event is sold out" };
        Self::Prose(text.to_owned())
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Prose(text) => text,
            Self::Forbidden => "Your session has expired",
            Self::Missing => "There is no such page",
            Self::Broken => "Something went wrong",
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the database refused");
        Self::Broken
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Prose(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Missing => StatusCode::NOT_FOUND,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let page = format!("<!doctype html>\n<p class=\"alert\">{}</p>\n", self.text());
        (status, Html(page)).into_response()
    }
}
