//! An exchange: the request of an operation, how to poll for its decision, and the reading of an
//! answer from the wire.

use reqwest::{RequestBuilder, Response};
use slotproof_vocabulary::ReasonCode;

use super::{
    answer::{Answer, Expected, Reply},
    request::Request,
};

/// No answer of a booking service is longer. One that is must not fill the memory.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The request of an operation, and how to poll for a decision if the service only accepts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    /// Asks for the decision; `None` if the target decides every such operation at once.
    pub poll: Option<Request>,
    /// The kind of body of a success.
    pub expected: Expected,
}

impl Exchange {
    /// Adds a header to the request, and not to its poll.
    #[must_use]
    pub fn with_header(self, name: &'static str, value: impl Into<String>) -> Self {
        Self { request: self.request.with_header(name, value), ..self }
    }

    /// Sends the request once. It does not poll: an accepted request is undecided.
    pub async fn send_once(&self, http: &reqwest::Client, base_url: &str) -> Answer {
        match fetch(self.request.on(http, base_url)).await {
            Ok((status, body)) => match self.expected.reply(status, &body) {
                Reply::Decided(answer) => answer,
                Reply::Undecided => Answer::unknown(ReasonCode::Undecided),
            },
            Err(answer) => answer,
        }
    }
}

/// Sends a request; status and whole body of the answer, or what the client knows without one.
pub(crate) async fn fetch(request: RequestBuilder) -> Result<(u16, Vec<u8>), Answer> {
    let response = request.send().await.map_err(|error| Answer::failed(&error))?;
    let status = response.status().as_u16();
    body(response).await.map(|body| (status, body)).map_err(Answer::unknown)
}

/// The whole body, or why there is none: whatever a cut answer was about to say, it did not say it.
async fn body(mut response: Response) -> Result<Vec<u8>, ReasonCode> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > BODY_BYTES_MAX => {
                return Err(ReasonCode::BodyTooLong);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(ReasonCode::Timeout),
            Err(_) => return Err(ReasonCode::ConnectionLost),
        }
    }
}
