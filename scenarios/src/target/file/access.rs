//! Access: how requests are authorised, over which connections, and how many of them are made.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use reqwest::Url;
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

use super::request::{FORM, form, header_value};
use crate::connections::Connections;

/// A token is renewed so long before it runs out: a request that is sent with it arrives in time.
const RENEWED_BEFORE: Duration = Duration::from_secs(2);
/// What RFC 6749 leaves open: how long a token lasts whose answer does not say it.
const LASTS: Duration = Duration::from_secs(300);

/// What lets requests in.
#[derive(Debug)]
pub(super) enum Auth {
    None,
    /// The same header for every request.
    Header(HeaderName, HeaderValue),
    Token(TokenSource),
}

/// Where tokens come from: RFC 6749, 4.4.
#[derive(Debug)]
pub(super) struct TokenSource {
    pub(super) url: Url,
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) scope: Option<String>,
    pub(super) token: Mutex<Option<Token>>,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    header: HeaderValue,
    renewed_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<f64>,
}

impl Auth {
    /// Lets a request in.
    ///
    /// # Errors
    /// No token could be had.
    pub(super) async fn authorise(
        &self,
        http: &Connections,
        request: &mut Request<Bytes>,
    ) -> Result<(), String> {
        let (name, value) = match self {
            Self::None => return Ok(()),
            Self::Header(name, value) => (name.clone(), value.clone()),
            Self::Token(source) => (AUTHORIZATION, source.header(http).await?),
        };
        request.headers_mut().insert(name, value);
        Ok(())
    }

    /// Where tokens come from.
    pub(super) fn token_url(&self) -> Option<&Url> {
        match self {
            Self::Token(source) => Some(&source.url),
            Self::None | Self::Header(..) => None,
        }
    }

    /// Whether a refused request may be let in with another token.
    pub(super) fn may_renew(&self) -> bool {
        self.token_url().is_some()
    }

    /// Whether a request that was refused may be let in with another token: it was not carried out.
    pub(super) async fn renews(&self, refused: Option<&HeaderValue>, status: u16) -> bool {
        let Self::Token(source) = self else { return false };
        if status != StatusCode::UNAUTHORIZED {
            return false;
        }
        let mut token = source.token.lock().await;
        // Another request may have renewed it meanwhile.
        if token.as_ref().is_some_and(|token| Some(&token.header) == refused) {
            *token = None;
        }
        true
    }
}

impl TokenSource {
    async fn header(&self, http: &Connections) -> Result<HeaderValue, String> {
        let mut token = self.token.lock().await;
        let now = Instant::now();
        if let Some(token) = token.as_ref().filter(|token| now < token.renewed_at) {
            return Ok(token.header.clone());
        }
        let fetched = self.fetch(http, now).await?;
        let header = fetched.header.clone();
        *token = Some(fetched);
        Ok(header)
    }

    async fn fetch(&self, http: &Connections, now: Instant) -> Result<Token, String> {
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", &self.id),
            ("client_secret", &self.secret),
        ];
        fields.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let answered = http
            .reqwest()
            .post(self.url.clone())
            .header(CONTENT_TYPE, FORM)
            .body(form(fields))
            .send()
            .await
            .map_err(|error| format!("no token from {}: {}", self.url, error.without_url()))?;
        let status = answered.status();
        if !status.is_success() {
            return Err(format!(
                "no token from {}: it answered {}; check client_id, client_secret and scope",
                self.url,
                status.as_u16()
            ));
        }
        let answer: TokenAnswer = answered
            .json()
            .await
            .map_err(|_| format!("no token from {}: its answer has no access_token", self.url))?;
        let lasts = answer.expires_in.and_then(|it| Duration::try_from_secs_f64(it).ok());
        let lasts = lasts.unwrap_or(LASTS);
        let header = header_value(&format!("Bearer {}", answer.access_token))?;
        Ok(Token { header, renewed_at: now + lasts.saturating_sub(RENEWED_BEFORE).max(lasts / 2) })
    }
}

/// How much a run may ask of an API.
#[derive(Debug)]
pub(super) struct Limits {
    /// Between two requests, of all clients together.
    pub(super) pause: Option<Duration>,
    pub(super) next: Mutex<Option<Instant>>,
    /// Bookings that may still be made.
    pub(super) bookings_left: AtomicI64,
}

impl Limits {
    pub(super) fn new(rate: Option<f64>, bookings_max: Option<u64>) -> Self {
        let bookings = bookings_max.and_then(|most| i64::try_from(most).ok()).unwrap_or(i64::MAX);
        Self {
            pause: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            next: Mutex::default(),
            bookings_left: AtomicI64::new(bookings),
        }
    }

    /// Waits until the next request may be sent.
    pub(super) async fn turn(&self) {
        let Some(pause) = self.pause else { return };
        let turn = {
            let mut next = self.next.lock().await;
            let turn = next.unwrap_or_else(Instant::now).max(Instant::now());
            *next = Some(turn + pause);
            turn
        };
        sleep_until(turn).await;
    }

    /// Takes the right to make one more booking.
    pub(super) fn take_booking(&self) -> bool {
        let took = self.bookings_left.fetch_sub(1, Ordering::SeqCst) > 0;
        if !took {
            self.give_back_booking();
        }
        took
    }

    /// No booking was made of it.
    pub(super) fn give_back_booking(&self) {
        self.bookings_left.fetch_add(1, Ordering::SeqCst);
    }
}
