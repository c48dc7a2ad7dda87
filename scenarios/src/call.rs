//! One operation on the wire: sent, sent again where the plan says so, asked about where it was
//! accepted, and read to its end.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use slotproof_vocabulary::Outcome;
use tokio::time::Instant;

use crate::{
    answer::{Answer, Expected},
    clock,
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
pub(crate) struct Call {
    pub(crate) request: RequestBuilder,
    pub(crate) question: Option<RequestBuilder>,
    pub(crate) expected: Expected,
}

/// What came back, and when.
pub(crate) struct Heard {
    pub(crate) sent_ns: u64,
    pub(crate) returned_ns: u64,
    pub(crate) attempts: u32,
    pub(crate) answer: Answer,
}

impl Call {
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
            Attempt::Accepted => poll(self.question, self.expected, deadline).await,
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
                    let answer = poll(self.question, self.expected, deadline).await;
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

/// Asks until there is a decision. A question that fails decides nothing and is asked again; when
/// patience ends, the outcome is unknown, because the request is still on its way.
async fn poll(question: Option<RequestBuilder>, expected: Expected, deadline: Instant) -> Answer {
    let Some(question) = question else { return Answer::unknown("http_202") };
    let mut pause = POLL_FIRST;
    while Instant::now() + pause < deadline {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
        let question = question.try_clone().expect("it has no body");
        if let Attempt::Answered(answer) = attempt(question, expected).await
            && matches!(answer.outcome, Outcome::Ok | Outcome::SoldOut)
        {
            return answer;
        }
    }
    Answer::unknown("undecided")
}
