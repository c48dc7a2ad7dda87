//! One request and its answer.

use std::time::Duration;

use bytes::Bytes;
use http::{
    Request,
    header::{AUTHORIZATION, HeaderValue},
};
use reqwest::Url;

use super::{
    capture::Received,
    compile::FileTarget,
    format::Meaning,
    request::{Idempotency, RequestTemplate},
    values::Values,
};
use crate::{
    connections::{Answered, Connections, Unanswered},
    target::answer::Answer,
};

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
    pub(super) http: &'a Connections,
    /// Without a slash at the end.
    pub(super) base_url: &'a str,
    /// How long its answer is waited for; `None`: as long as the connections do.
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
    pub(super) fn by<'a>(&'a self, http: &'a Connections) -> To<'a> {
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
        let request = template.render(base_url, &self.headers, context, key)?;
        let url = if shown { Url::parse(&request.uri().to_string()).ok() } else { None };
        let mut exchanged = if shown { self.shown(&request) } else { Exchanged::default() };
        let again = self.auth.may_renew().then(|| request.clone());
        let mut received = self.send_once(http, request, patience).await?;
        if let (Ok((answer, token)), Some(request)) = (&received, again)
            && self.auth.renews(token.as_ref(), answer.status).await
        {
            received = self.send_once(http, request, patience).await?;
        }
        let received = received.map(|(received, _)| received);
        if shown {
            match &received {
                Ok(received) => {
                    exchanged.status = Some(received.status);
                    exchanged.received = self.redacted(&String::from_utf8_lossy(&received.bytes));
                }
                Err(unanswered) => exchanged.received.clone_from(&unanswered.why),
            }
        }
        Ok(Sent { url, exchanged, received: received.map_err(|it| it.answer()) })
    }

    /// The answer, with the token that the request had.
    async fn send_once(
        &self,
        http: &Connections,
        mut request: Request<Bytes>,
        patience: Option<Duration>,
    ) -> Result<Result<(Received, Option<HeaderValue>), Unanswered>, String> {
        self.auth.authorise(http, &mut request).await.map_err(|error| self.redacted(&error))?;
        let token = request.headers().get(AUTHORIZATION).cloned();
        let answered = http.exchange(request, patience).await;
        Ok(answered.map(|answered| (Received::from(answered), token)))
    }

    fn shown(&self, request: &Request<Bytes>) -> Exchanged {
        Exchanged {
            request: self.redacted(&format!("{} {}", request.method(), request.uri())),
            sent: self.redacted(&String::from_utf8_lossy(request.body())),
            ..Exchanged::default()
        }
    }

    /// A text in which every secret is starred out, as it is and as URLs, forms and JSON write it.
    pub(super) fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

impl From<Answered> for Received {
    fn from(Answered { status, headers, body }: Answered) -> Self {
        let json = serde_json::from_slice(&body).ok();
        Self { status, headers, bytes: body, json }
    }
}
