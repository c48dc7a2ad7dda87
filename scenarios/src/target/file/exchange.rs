//! One request and its answer.

use std::{error::Error, time::Duration};

use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderValue},
};
use slotproof_vocabulary::ReasonCode;

use super::{
    capture::Received,
    compile::FileTarget,
    format::Meaning,
    request::{Idempotency, RequestTemplate},
    values::Values,
};
use crate::target::answer::Answer;

/// No answer of a booking service is longer. One that is must not fill the memory.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A request and its answer, as people read them. Secrets are starred out.
#[derive(Debug, Clone, Default)]
pub struct Exchanged {
    /// Method and URL.
    pub request: String,
    /// The request's body; empty without one.
    pub sent: String,
    /// The status; `None` where no answer came.
    pub status: Option<u16>,
    /// The answer's body, or what went wrong.
    pub received: String,
    /// What the answer meant, and the line of the rule that says so; `None` of an answer that no
    /// rule matches.
    pub matched: Option<(Meaning, usize)>,
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub(super) struct To<'a> {
    pub(super) http: &'a reqwest::Client,
    /// Without a slash at the end.
    pub(super) base_url: &'a str,
    /// How long its answer is waited for; `None`: as long as the HTTP client does.
    pub(super) patience: Option<Duration>,
}

/// A request that was sent.
pub(super) struct Sent {
    /// Where it went, if it was asked for.
    pub(super) url: Option<Url>,
    /// Empty unless it was asked for.
    pub(super) exchanged: Exchanged,
    pub(super) received: Result<Received, Answer>,
}

impl FileTarget {
    /// Where requests go that are no client's: to the base URL of the file.
    pub(super) fn by<'a>(&'a self, http: &'a reqwest::Client) -> To<'a> {
        To { http, base_url: &self.base_url, patience: None }
    }

    /// Sends a request, again with a new token if the old one had run out.
    ///
    /// # Errors
    /// It cannot be sent: a name has no value, or there is no token.
    pub(super) async fn send(
        &self,
        To { http, base_url, patience }: To<'_>,
        template: &RequestTemplate,
        context: &Values<'_>,
        key: Option<&Idempotency>,
        shown: bool,
    ) -> Result<Sent, String> {
        let mut request = template.render(base_url, &self.headers, context, key)?;
        *request.timeout_mut() = patience;
        let url = shown.then(|| request.url().clone());
        let mut exchanged = if shown { self.shown(&request) } else { Exchanged::default() };
        let again = if self.auth.may_renew() { request.try_clone() } else { None };
        let mut received = self.send_once(http, request).await?;
        if let (Ok((answer, token)), Some(request)) = (&received, again)
            && self.auth.renews(token.as_ref(), answer.status).await
        {
            received = self.send_once(http, request).await?;
        }
        let received = received.map(|(received, _)| received);
        if shown {
            match &received {
                Ok(received) => {
                    exchanged.status = Some(received.status);
                    exchanged.received = self.redacted(&String::from_utf8_lossy(&received.bytes));
                }
                Err((_, why)) => exchanged.received.clone_from(why),
            }
        }
        Ok(Sent { url, exchanged, received: received.map_err(|(answer, _)| answer) })
    }

    /// The answer, with the token that the request had.
    async fn send_once(
        &self,
        http: &reqwest::Client,
        mut request: reqwest::Request,
    ) -> Result<Result<(Received, Option<HeaderValue>), Failed>, String> {
        self.auth.authorise(http, &mut request).await.map_err(|error| self.redacted(&error))?;
        let token = request.headers().get(AUTHORIZATION).cloned();
        Ok(receive(http, request).await.map(|received| (received, token)))
    }

    fn shown(&self, request: &reqwest::Request) -> Exchanged {
        let sent = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        Exchanged {
            request: self.redacted(&format!("{} {}", request.method(), request.url())),
            sent: self.redacted(&String::from_utf8_lossy(sent)),
            ..Exchanged::default()
        }
    }

    /// A text in which every secret is starred out, as it is and as URLs, forms and JSON write it.
    pub(super) fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// What is known of an operation whose request was not answered, and why for people.
pub(super) type Failed = (Answer, String);

/// The whole answer.
pub(super) async fn receive(
    http: &reqwest::Client,
    request: reqwest::Request,
) -> Result<Received, Failed> {
    let failed = |error: reqwest::Error| (Answer::failed(&error), causes(error));
    let mut response = http.execute(request).await.map_err(failed)?;
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| {
        let timeout = error.is_timeout();
        let reason = if timeout { ReasonCode::Timeout } else { ReasonCode::ConnectionLost };
        (Answer::unknown(reason), causes(error))
    })? {
        if bytes.len() + chunk.len() > BODY_BYTES_MAX {
            let answer = Answer::unknown(ReasonCode::BodyTooLong);
            return Err((answer, "the body is longer than 1 MiB".to_owned()));
        }
        bytes.extend_from_slice(&chunk);
    }
    let json = serde_json::from_slice(&bytes).ok();
    Ok(Received { status, headers, bytes, json })
}

/// An error with its causes, without the URL: that is shown beside it.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    if text.contains("certificate") {
        text.push_str("; name the file of its issuer: [tls] ca = \"issuer.pem\"");
    }
    text
}
