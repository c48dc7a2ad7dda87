//! How requests reach an API: over TLS by reqwest, and plain HTTP/1.1 over a pool of our own.
//!
//! A load is mostly plain HTTP to a machine nearby, and what a request costs there limits how much
//! load one machine makes. reqwest parses the URL again, moves each request and each answer between
//! two tasks, and looks for proxies, redirects and cookies; none of that is needed here.

mod connection;
mod pool;
mod reading;

use std::{error::Error, io::Read, time::Duration};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{
    HeaderMap, Request,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue},
};
use slotproof_vocabulary::ReasonCode;

use self::pool::Pool;
use crate::target::Answer;

/// No answer of a booking service is longer. One that is must not fill the memory.
const BODY_BYTES_MAX: usize = 1 << 20;
/// What every request says that it takes, unless it says something else.
const ACCEPTED: [(HeaderName, HeaderValue); 2] = [
    (ACCEPT, HeaderValue::from_static("*/*")),
    (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
];

/// Connections to an API. Clones share them.
#[derive(Debug, Clone)]
pub struct Connections {
    over_tls: reqwest::Client,
    plain: Pool,
    /// How long a whole exchange may last.
    timeout: Option<Duration>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection was made: nothing was sent.
    NotConnected,
    /// It did not come in time.
    Timeout,
    /// The connection broke, or what came is no answer.
    ConnectionLost,
    /// It is longer than any answer of a booking service.
    BodyTooLong,
}

/// A request without an answer, and why for people.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) failure: Failure,
    pub(crate) why: String,
}

impl Default for Connections {
    /// With the machine's own TLS roots, and without a time limit.
    fn default() -> Self {
        Self { over_tls: reqwest::Client::new(), plain: Pool::shared(), timeout: None }
    }
}

impl Connections {
    /// Connections of which those over TLS are this client's. It must follow no redirect, send
    /// nothing again, and wait for `timeout` at most.
    pub fn new(over_tls: reqwest::Client, timeout: Duration) -> Self {
        Self { over_tls, plain: Pool::shared(), timeout: Some(timeout) }
    }

    /// The same, with plain connections that nobody else uses: one is kept.
    #[must_use]
    pub fn of_one_client(&self) -> Self {
        Self { plain: Pool::of_one_client(), ..self.clone() }
    }

    /// For requests that are no part of a load.
    pub fn reqwest(&self) -> &reqwest::Client {
        &self.over_tls
    }

    /// Sends a request once, and waits for the whole answer: for so long, or as long as these
    /// connections do.
    ///
    /// # Cancel safety
    /// Dropped, it closes the connection: the service may have carried the request out.
    pub(crate) async fn exchange(
        &self,
        mut request: Request<Bytes>,
        patience: Option<Duration>,
    ) -> Result<Answered, Unanswered> {
        for (name, value) in ACCEPTED {
            request.headers_mut().entry(name).or_insert(value);
        }
        let patience = patience.or(self.timeout);
        if request.uri().scheme_str() == Some("https") {
            return self.exchange_over_tls(request, patience).await;
        }
        let exchange = self.plain.exchange(&request);
        let answered = match patience {
            None => exchange.await,
            Some(patience) => tokio::time::timeout(patience, exchange).await.map_err(|_| {
                Unanswered::because(Failure::Timeout, format!("no answer within {patience:?}"))
            })?,
        };
        unpacked(answered?)
    }

    async fn exchange_over_tls(
        &self,
        request: Request<Bytes>,
        patience: Option<Duration>,
    ) -> Result<Answered, Unanswered> {
        let mut request = reqwest::Request::try_from(request)?;
        *request.timeout_mut() = patience;
        let mut response = self.over_tls.execute(request).await?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            append(&mut body, &chunk)?;
        }
        Ok(Answered { status, headers, body })
    }
}

/// Appends a part of a body.
fn append(body: &mut Vec<u8>, part: &[u8]) -> Result<(), Unanswered> {
    if body.len() + part.len() > BODY_BYTES_MAX {
        return Err(too_long());
    }
    body.extend_from_slice(part);
    Ok(())
}

fn too_long() -> Unanswered {
    Unanswered::because(Failure::BodyTooLong, "the body is longer than 1 MiB".to_owned())
}

/// An answer as its service meant it.
fn unpacked(answered: Answered) -> Result<Answered, Unanswered> {
    let Answered { status, mut headers, mut body } = answered;
    let gzip = |it: &HeaderValue| {
        let names = [b"gzip".as_slice(), b"x-gzip"];
        names.iter().any(|name| it.as_bytes().eq_ignore_ascii_case(name))
    };
    // An answer without a body has nothing to unpack, whatever was set before that was known.
    if !body.is_empty() && headers.get(CONTENT_ENCODING).is_some_and(gzip) {
        let mut unpacked = Vec::new();
        let decoder = MultiGzDecoder::new(&*body);
        decoder.take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut unpacked).map_err(|error| {
            Unanswered::because(Failure::ConnectionLost, format!("unpack the body: {error}"))
        })?;
        if unpacked.len() > BODY_BYTES_MAX {
            return Err(too_long());
        }
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
        body = unpacked;
    }
    Ok(Answered { status, headers, body })
}

impl Unanswered {
    fn because(failure: Failure, why: String) -> Self {
        Self { failure, why }
    }

    /// What is known of an operation whose request was not answered.
    pub(crate) fn answer(&self) -> Answer {
        match self.failure {
            Failure::NotConnected => Answer::not_connected(),
            Failure::Timeout => Answer::unknown(ReasonCode::Timeout),
            Failure::ConnectionLost => Answer::unknown(ReasonCode::ConnectionLost),
            Failure::BodyTooLong => Answer::unknown(ReasonCode::BodyTooLong),
        }
    }
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Self {
        let failure = if error.is_connect() {
            Failure::NotConnected
        } else if error.is_timeout() {
            Failure::Timeout
        } else {
            Failure::ConnectionLost
        };
        // The URL is shown beside it.
        let mut why = causes(&error.without_url());
        if why.contains("certificate") {
            why.push_str("; name the file of its issuer: [tls] ca = \"issuer.pem\"");
        }
        Self { failure, why }
    }
}

/// An error with its causes.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
