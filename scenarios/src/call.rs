//! One operation on the wire: sent, resent where the plan says so, polled where it was only
//! accepted, and read to its end.

use std::time::Duration;

use reqwest::RequestBuilder;
use slotproof_vocabulary::{Outcome, ReasonCode};
use tokio::time::Instant;

use crate::{
    clock::Clock,
    target::{Answer, Exchange, Expected, Reply, fetch},
};

/// Pauses between two polls.
const POLL_FIRST: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(640);

/// How long clients wait for an answer, and how often they resend.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// After this long the outcome is unknown.
    pub timeout: Duration,
    /// Attempts per operation, the first included.
    pub attempts: u32,
    /// How long a client waits for an answer before it resends.
    pub resend: Duration,
}

/// An operation that is about to be sent.
pub(crate) struct Call<'a> {
    pub(crate) http: &'a reqwest::Client,
    pub(crate) base_url: &'a str,
    pub(crate) clock: &'a Clock,
    pub(crate) exchange: Exchange,
}

/// An answer, and when it came.
pub(crate) struct TimedAnswer {
    pub(crate) sent_ns: u64,
    pub(crate) returned_ns: u64,
    pub(crate) attempts: u32,
    pub(crate) answer: Answer,
}

impl Call<'_> {
    /// Makes the call; its outcome is certain, or it is unknown.
    pub(crate) async fn make(self, policy: &RetryPolicy) -> TimedAnswer {
        let clock = self.clock;
        let request = self.exchange.request.on(self.http, self.base_url);
        let sent_ns = clock.now_ns();
        let (attempts, answer) = if policy.attempts == 1 {
            (1, self.once(request, policy.timeout).await)
        } else {
            // On the heap: ten thousand clients need not make room for what few of them do.
            Box::pin(self.with_resends(request, policy)).await
        };
        TimedAnswer { sent_ns, returned_ns: clock.now_ns(), attempts, answer }
    }

    /// Without a copy of the request; its timeout is that of the HTTP client.
    async fn once(&self, request: RequestBuilder, timeout: Duration) -> Answer {
        let deadline = Instant::now() + timeout;
        match attempt(request, self.exchange.expected).await {
            Reply::Decided(answer) => answer,
            Reply::Undecided => self.poll(deadline).await,
        }
    }

    /// An unanswered attempt may still be in flight: after one, only `ok` is certain. `ok` repeats
    /// the receipt, whichever attempt wrote it; a refusal is about its own attempt only.
    async fn with_resends(&self, request: RequestBuilder, policy: &RetryPolicy) -> (u32, Answer) {
        let deadline = Instant::now() + policy.timeout;
        let mut doubtful = false;
        for number in 1..=policy.attempts {
            let left = deadline.saturating_duration_since(Instant::now());
            let last = number == policy.attempts || left <= policy.resend;
            let resend_at = Instant::now() + policy.resend;
            let request = request.try_clone().expect("its body is in memory");
            let request = request.timeout(if last { left } else { policy.resend });
            let Reply::Decided(answer) = attempt(request, self.exchange.expected).await else {
                return (number, self.poll(deadline).await.doubted(doubtful));
            };
            if last || !answer.may_be_resent() {
                return (number, answer.doubted(doubtful));
            }
            doubtful |= answer.outcome == Outcome::Unknown;
            tokio::time::sleep_until(resend_at).await;
        }
        unreachable!("the last attempt returns")
    }

    /// Polls until the operation is decided. When the timeout ends the outcome is unknown, because
    /// the request is still in the service.
    async fn poll(&self, deadline: Instant) -> Answer {
        let Some(poll) = &self.exchange.poll else {
            return Answer::unknown(ReasonCode::Http(202));
        };
        let request = poll.on(self.http, self.base_url);
        let mut pause = POLL_FIRST;
        while Instant::now() + pause < deadline {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
            // A poll that fails decides nothing.
            let Ok((status, body)) = fetch(request.try_clone().expect("it has no body")).await
            else {
                continue;
            };
            if let Reply::Decided(answer) = self.exchange.expected.poll_reply(status, &body) {
                return answer;
            }
        }
        Answer::unknown(ReasonCode::Undecided)
    }
}

async fn attempt(request: RequestBuilder, expected: Expected) -> Reply {
    match fetch(request).await {
        Ok((status, body)) => expected.reply(status, &body),
        Err(answer) => Reply::Decided(answer),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::target::ReferenceTarget;

    /// A service that accepts every reserve, and answers every poll in this way.
    async fn service_that_answers_polls(with: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 4_096];
                    while let Ok(read @ 1..) = stream.read(&mut request).await {
                        let poll = request[..read].starts_with(b"GET");
                        let (status, body) = if poll {
                            with.split_once(' ').expect("a body")
                        } else {
                            ("202", "{}")
                        };
                        let answer = format!(
                            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        format!("http://{address}")
    }

    async fn reserve(base_url: &str, timeout: Duration) -> Answer {
        let call = Call {
            http: &reqwest::Client::new(),
            base_url,
            clock: &Clock::new(),
            exchange: ReferenceTarget.reserve("s", 1, "k"),
        };
        let policy = RetryPolicy { timeout, attempts: 1, resend: Duration::from_millis(200) };
        call.make(&policy).await.answer
    }

    #[tokio::test]
    async fn a_definite_refusal_of_a_poll_decides_the_reserve() {
        for (answer, reason) in [
            (r#"404 {"code":"not_found"}"#, "not_found"),
            (r#"422 {"code":"idempotency_mismatch"}"#, "idempotency_mismatch"),
        ] {
            let service = service_that_answers_polls(answer).await;
            let answer = reserve(&service, Duration::from_secs(5)).await;
            assert_eq!(answer.outcome, Outcome::Rejected);
            assert_eq!(answer.reason, Some(reason.into()));
        }
    }

    #[tokio::test]
    async fn a_poll_that_is_itself_refused_leaves_the_reserve_unknown() {
        let service = service_that_answers_polls(r#"429 {"code":"slow_down"}"#).await;
        let answer = reserve(&service, Duration::from_millis(100)).await;
        assert_eq!(answer, Answer::unknown(ReasonCode::Undecided));
    }
}
