//! One operation on the wire: sent, sent again where the plan says so, asked about where it was
//! accepted, and read to its end.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use slotproof_vocabulary::Outcome;
use tokio::time::Instant;

use crate::{
    clock,
    target::{Answer, Exchange, Expected, Request},
};

/// Pauses between two questions after a request that was accepted.
const POLL_FIRST: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(640);
/// No answer of a booking service is longer; one that is, is garbage, and must not fill the memory.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long clients wait, and how often they send.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// After this long the outcome is unknown.
    pub timeout: Duration,
    /// How often an operation is sent at most.
    pub attempts: u32,
    /// How long an answer is awaited before the operation is sent again.
    pub resend: Duration,
}

/// A request, and how to ask what became of it if it is only accepted.
pub(crate) struct Call<'a> {
    request: RequestBuilder,
    expected: Expected,
    question: Question<'a>,
}

/// How to ask what became of a request that was accepted. Few are, so the request is built when it
/// is needed.
struct Question<'a> {
    poll: Option<Request>,
    http: &'a reqwest::Client,
    base: &'a str,
}

/// What came back, and when.
pub(crate) struct Heard {
    pub(crate) sent_ns: u64,
    pub(crate) returned_ns: u64,
    pub(crate) attempts: u32,
    pub(crate) answer: Answer,
}

impl<'a> Call<'a> {
    /// An exchange with the target, by a client at a base URL.
    pub(crate) fn of(exchange: Exchange, http: &'a reqwest::Client, base: &'a str) -> Self {
        Self {
            request: exchange.request.on(http, base),
            expected: exchange.expected,
            question: Question { poll: exchange.poll, http, base },
        }
    }

    /// Makes the call; what comes back is known for sure, or is unknown.
    pub(crate) async fn make(self, patience: &Patience) -> Heard {
        let sent_ns = clock::now_ns();
        let (attempts, answer) = if patience.attempts == 1 {
            (1, self.once(patience.timeout).await)
        } else {
            // On the heap: ten thousand clients need not make room for what few of them do.
            Box::pin(self.again_and_again(patience)).await
        };
        Heard { sent_ns, returned_ns: clock::now_ns(), attempts, answer }
    }

    /// Without a copy of the request, whose timeout is the client's own.
    async fn once(self, timeout: Duration) -> Answer {
        let deadline = Instant::now() + timeout;
        match attempt(self.request, self.expected).await {
            Attempt::Answered(answer) => answer,
            Attempt::Accepted => self.question.ask(self.expected, deadline).await,
        }
    }

    /// An attempt that nobody answered may still be on its way: after one, only `ok` is certain. It
    /// repeats the receipt, whichever attempt made it; a refusal is only of the attempt that was
    /// refused.
    async fn again_and_again(self, patience: &Patience) -> (u32, Answer) {
        let begun = Instant::now();
        let deadline = begun + patience.timeout;
        let mut doubtful = false;
        for number in 1..=patience.attempts {
            let left = deadline.saturating_duration_since(Instant::now());
            let last = number == patience.attempts || left <= patience.resend;
            let resend = Instant::now() + patience.resend;
            let request = self.request.try_clone().expect("its body is in memory");
            let request = request.timeout(if last { left } else { patience.resend });
            let answer = match attempt(request, self.expected).await {
                Attempt::Answered(answer) => answer,
                Attempt::Accepted => {
                    let answer = self.question.ask(self.expected, deadline).await;
                    return (number, answer.doubted(doubtful));
                }
            };
            let decided = answer.outcome == Outcome::Ok || !answer.may_be_sent_again();
            if decided || last {
                return (number, answer.doubted(doubtful));
            }
            doubtful |= answer.outcome == Outcome::Unknown;
            tokio::time::sleep_until(resend).await;
        }
        unreachable!("the last attempt returns")
    }
}

enum Attempt {
    Answered(Answer),
    /// 202: it will be decided later.
    Accepted,
}

async fn attempt(request: RequestBuilder, expected: Expected) -> Attempt {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Attempt::Answered(Answer::failed(&error)),
    };
    let status = response.status().as_u16();
    Attempt::Answered(match body(response).await {
        Ok(_) if status == 202 => return Attempt::Accepted,
        Ok(body) => Answer::of(status, &body, expected),
        Err(answer) => answer,
    })
}

/// The whole body, or why there is none. The status had come and the rest did not: whatever it was
/// about to say, it was not said.
async fn body(mut response: Response) -> Result<Vec<u8>, Answer> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > BODY_BYTES_MAX => {
                return Err(Answer::unknown("body_too_long"));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(Answer::unknown("timeout")),
            Err(_) => return Err(Answer::unknown("connection_lost")),
        }
    }
}

impl Question<'_> {
    /// Asks until there is a decision. A question that fails decides nothing and is asked again;
    /// when the time is over, the outcome is unknown, because the request is still on its way.
    async fn ask(self, expected: Expected, deadline: Instant) -> Answer {
        let Some(poll) = self.poll else { return Answer::unknown("http_202") };
        let mut pause = POLL_FIRST;
        while Instant::now() + pause < deadline {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
            let question = poll.clone().on(self.http, self.base);
            if let Attempt::Answered(answer) = attempt(question, expected).await
                && answer.decides_a_poll()
            {
                return answer;
            }
        }
        Answer::unknown("undecided")
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::target::reference;

    /// A server that gives these answers in turn, each on a connection of its own.
    async fn target(answers: &'static [(&'static str, &'static str)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.expect("it is heard");
            }
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn a_poll_that_finds_no_slot_decides_and_one_that_fails_does_not() {
        const NO_SLOT: &str = r#"{"code":"not_found"}"#;
        let base = target(&[
            ("202 Accepted", "{}"),
            ("503 Service Unavailable", "{}"),
            ("429 Too Many Requests", r#"{"code":"slow_down"}"#),
            ("404 Not Found", NO_SLOT),
        ])
        .await;
        let patience =
            Patience { timeout: Duration::from_secs(30), attempts: 1, resend: Duration::ZERO };
        let http = reqwest::Client::new();
        let heard = Call::of(reference::reserve("s", 1, "k"), &http, &base).make(&patience).await;
        assert_eq!(heard.answer.outcome, Outcome::Rejected);
        assert_eq!(heard.answer.reason.as_deref(), Some("not_found"));
    }
}
