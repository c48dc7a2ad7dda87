//! The reference service: a target like any other, and what its operators ask.

use std::path::Path;

use async_recursion::async_recursion as boxed_future;
use serde::Deserialize;

use super::file::{FileTarget, SetUp, TargetError};
use crate::connections::Connections;

/// The file that describes it.
const FILE: &str = include_str!("../../../ci/targets/reference.toml");
/// Where the file has its base URL from.
const BASE_URL: &str = "SLOTPROOF_SERVICE";

/// The reference service at a base URL without a slash at the end.
///
/// # Panics
/// The base URL is none of this machine's: the service is ours to start.
pub fn target(base_url: &str) -> FileTarget {
    let environment = |name: &str| (name == BASE_URL).then(|| base_url.to_owned());
    FileTarget::parse(FILE, Path::new(""), &[], environment).expect("a test parses it")
}

/// Prepares slots of so many seats, one for each capacity; their ids, in the order of their starts.
/// `run` is different from every other call's.
///
/// # Errors
/// The service did not answer, or refused.
#[boxed_future]
pub async fn prepare(
    http: &Connections,
    base_url: &str,
    run: &str,
    capacities: &[u32],
) -> Result<Vec<String>, TargetError> {
    let prepared = target(base_url).prepare(http, run, capacities, &SetUp::default()).await?;
    Ok(prepared.places.iter().map(super::Place::slot_name).collect())
}

/// Whether a process of the service can take requests.
#[boxed_future]
pub async fn is_ready(http: &reqwest::Client, base_url: &str) -> bool {
    let answer = http.get(format!("{base_url}/readyz")).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// Which process answers at an address that several may share, if it can take requests. Over a
/// connection of its own.
#[boxed_future]
pub async fn ready_process(base_url: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct Ready {
        process: u32,
    }
    let answer = reqwest::Client::new().get(format!("{base_url}/readyz")).send().await.ok()?;
    let ready: Ready = answer.error_for_status().ok()?.json().await.ok()?;
    Some(ready.process)
}

/// How often a process has retried a reserve after a lost race: one that answers requests, or a
/// worker of a queue.
///
/// # Errors
/// Its metrics cannot be read.
#[boxed_future]
pub async fn reserve_retries(http: &reqwest::Client, base_url: &str) -> reqwest::Result<u64> {
    Ok(sum_of("reserve_retries_total", &metrics(http, base_url).await?))
}

/// The metrics of a process, as Prometheus reads them.
///
/// # Errors
/// They cannot be read.
#[boxed_future]
pub async fn metrics(http: &reqwest::Client, base_url: &str) -> reqwest::Result<String> {
    let metrics = http.get(format!("{base_url}/metrics")).send().await?.error_for_status()?;
    metrics.text().await
}

/// The sum of a counter over all its labels.
fn sum_of(counter: &str, metrics: &str) -> u64 {
    let lines = metrics
        .lines()
        .filter(|line| line.strip_prefix(counter).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slotproof_vocabulary::{Outcome, ReasonCode};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use bytes::Bytes;
    use http::Request;

    use super::*;
    use crate::{
        call::RetryPolicy,
        target::{
            Answer,
            file::{OperationKind, Place, Received, Scope, Session},
        },
    };

    const HERE: &str = "http://127.0.0.1:1";

    #[test]
    fn every_request_is_pinned() {
        let (file, session) = (target(HERE), Session::default());
        let place = Place::of_id("s").names();
        let of_slot = Scope::of(HERE, &place, &session);
        let scope = Scope { seats: 2, key: "k", booking: Some("b"), seen_version: 7, ..of_slot };
        let wire = |request: Request<Bytes>| {
            let headers = request.headers().iter();
            let headers: String = headers.map(|(name, of)| format!("{name}: {of:?}\n")).collect();
            let body = String::from_utf8_lossy(request.body());
            format!("{} {}\n{headers}{body}\n", request.method(), request.uri())
        };
        let kinds = OperationKind::ALL.into_iter().filter(|kind| file.has(*kind));
        let first = kinds.map(|kind| file.first_request(kind, scope).expect("it is rendered"));
        let mut text: Vec<String> = first.map(wire).collect();
        let poll = file.poll_request(OperationKind::Reserve, scope).expect("it is rendered");
        text.push(wire(poll.expect("a queue is asked")));
        insta::assert_snapshot!(text.join("\n"));
    }

    fn answer(operation: OperationKind, status: u16, body: &str) -> Answer {
        let received = Received {
            status,
            headers: reqwest::header::HeaderMap::new(),
            bytes: body.as_bytes().to_vec(),
            json: serde_json::from_str(body).ok(),
        };
        target(HERE).first_answer(operation, &received)
    }

    #[test]
    fn answers_are_classified_by_code_and_in_doubt_are_unknown() {
        use OperationKind::{Cancel, Confirm, Read, Reserve};
        let booking =
            r#"{"id":"b","slot_version":3,"available_seats":1,"hold_ms":5000,"more":true}"#;
        let slot = r#"{"capacity":9,"available_seats":4,"pending_seats":2,"confirmed_seats":3,"version":8}"#;
        let sold_out = r#"{"code":"sold_out","slot_version":7,"available_seats":0}"#;
        let code = |code: &str| format!(r#"{{"code":"{code}"}}"#);
        let (expired, slow_down, later) =
            (code("hold_expired"), code("slow_down"), code("retry_later"));
        for (operation, status, body, outcome, reason) in [
            (Reserve, 201, booking, Outcome::Ok, None),
            (Read, 200, slot, Outcome::Ok, None),
            (Reserve, 409, sold_out, Outcome::SoldOut, None),
            (Confirm, 409, expired.as_str(), Outcome::Rejected, Some("hold_expired")),
            (Cancel, 404, expired.as_str(), Outcome::Rejected, Some("hold_expired")),
            (Reserve, 429, slow_down.as_str(), Outcome::Throttled, Some("slow_down")),
            // The one 5xx that promises that nothing was written.
            (Reserve, 503, later.as_str(), Outcome::Throttled, Some("retry_later")),
            (Confirm, 503, later.as_str(), Outcome::Throttled, Some("retry_later")),
            (Reserve, 503, sold_out, Outcome::Unknown, Some("http_503")),
            (Reserve, 500, expired.as_str(), Outcome::Unknown, Some("http_500")),
            (Reserve, 202, "{}", Outcome::Unknown, Some("undecided")),
            (Reserve, 302, "", Outcome::Unknown, Some("http_302")),
            // Cut short, or of something between the client and the service.
            (Reserve, 201, r#"{"id":"b""#, Outcome::Unknown, Some("unreadable_201")),
            (Reserve, 201, "", Outcome::Unknown, Some("unreadable_201")),
            (Read, 200, "<html>", Outcome::Unknown, Some("http_200")),
            (Reserve, 409, "<html>", Outcome::Unknown, Some("http_409")),
            (Reserve, 429, "<html>", Outcome::Unknown, Some("http_429")),
        ] {
            let answer = answer(operation, status, body);
            let why = answer.reason.as_ref().map(ToString::to_string);
            let expected = (outcome, reason.map(str::to_owned));
            assert_eq!((answer.outcome, why), expected, "{operation:?} {status} {body}");
        }
    }

    #[test]
    fn what_an_answer_says_is_kept() {
        let seen = answer(
            OperationKind::Reserve,
            409,
            r#"{"code":"sold_out","slot_version":7,"available_seats":0}"#,
        )
        .seen;
        assert_eq!((seen.version, seen.available), (Some(7), Some(0)));
        let seen =
            answer(OperationKind::Reserve, 201, r#"{"id":"b","slot_version":3,"hold_ms":5000}"#)
                .seen;
        assert_eq!((seen.booking.as_deref(), seen.hold_ms), (Some("b"), Some(5_000)));
    }

    /// A service that answers in this way: the first answer to each POST but the last, which every
    /// later one has; the other to each GET.
    async fn service(posts: &[&'static str], polls: &'static str) -> String {
        let posts = posts.to_vec();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            let mut posted = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4_096];
                while let Ok(read @ 1..) = stream.read(&mut request).await {
                    let answer = if request[..read].starts_with(b"GET") {
                        polls
                    } else {
                        posted += 1;
                        posts[posts.len().min(posted) - 1]
                    };
                    let Some((status, body)) = answer.split_once(' ') else { continue };
                    let text = format!(
                        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        break;
                    }
                }
            }
        });
        format!("http://{address}")
    }

    async fn reserve(base_url: &str, policy: RetryPolicy) -> (Answer, u32) {
        reserve_by(&target(base_url), base_url, policy).await
    }

    async fn reserve_by(file: &FileTarget, base_url: &str, policy: RetryPolicy) -> (Answer, u32) {
        let place = Place::of_id("s").names();
        let session = Session::default();
        let scope = Scope { key: "k", ..Scope::of(base_url, &place, &session) };
        let http = Connections::default();
        let ready = file.begin(&http, OperationKind::Reserve, scope).await.expect("it begins");
        let made = file.make(&http, OperationKind::Reserve, scope, ready, &policy, false).await;
        (made.answer, made.attempts)
    }

    const ACCEPTED: &[&str] = &["202 {}"];

    #[tokio::test]
    async fn a_definite_refusal_of_a_poll_decides_the_reserve() {
        for (poll, reason) in [
            (r#"404 {"code":"not_found"}"#, "not_found"),
            (r#"422 {"code":"idempotency_mismatch"}"#, "idempotency_mismatch"),
        ] {
            let service = service(ACCEPTED, poll).await;
            let (answer, _) = reserve(&service, RetryPolicy::once(Duration::from_secs(5))).await;
            assert_eq!((answer.outcome, answer.reason), (Outcome::Rejected, Some(reason.into())));
        }
    }

    #[tokio::test]
    async fn a_poll_that_is_itself_refused_leaves_the_reserve_unknown() {
        for poll in [
            r#"429 {"code":"slow_down"}"#,
            r#"503 {"code":"retry_later"}"#,
            r#"201 {"id":"#,
            "202 {}",
        ] {
            let service = service(ACCEPTED, poll).await;
            let (answer, _) =
                reserve(&service, RetryPolicy::once(Duration::from_millis(100))).await;
            assert_eq!(answer, Answer::unknown(ReasonCode::Undecided), "{poll}");
        }
    }

    /// It counts as an answer without a rule, of which a run may have few.
    #[tokio::test]
    async fn a_poll_that_no_rule_matches_is_said_by_its_status() {
        let policy = RetryPolicy::once(Duration::from_secs(3));
        let polled = async |poll, status| {
            let service = service(ACCEPTED, poll).await;
            let (answer, _) = reserve(&service, policy).await;
            assert_eq!(answer, Answer::unknown(ReasonCode::Http(status)), "{poll}");
        };
        tokio::join!(polled(r#"401 {"code":"expired"}"#, 401), polled("404 <html>", 404));
    }

    #[tokio::test]
    async fn what_was_not_answered_is_sent_again_and_a_refusal_after_that_is_in_doubt() {
        let policy = RetryPolicy {
            timeout: Duration::from_secs(20),
            attempts: 3,
            resend: Duration::from_millis(50),
        };
        let booked = r#"201 {"id":"b","hold_ms":5000}"#;
        let sold_out = r#"409 {"code":"sold_out"}"#;
        let later = r#"503 {"code":"retry_later"}"#;
        let reason = |answer: &Answer| answer.reason.as_ref().map(ToString::to_string);

        let (answer, attempts) =
            reserve(&service(&["500 {}", "500 {}", booked], "").await, policy).await;
        assert_eq!((answer.outcome, attempts), (Outcome::Ok, 3), "the receipt, whoever wrote it");
        let (answer, attempts) = reserve(&service(&["500 {}", sold_out], "").await, policy).await;
        assert_eq!((answer.outcome, attempts), (Outcome::Unknown, 2));
        assert_eq!(reason(&answer).as_deref(), Some("unanswered_then_sold_out"));
        let (answer, attempts) = reserve(&service(&[later, sold_out], "").await, policy).await;
        assert_eq!((answer.outcome, attempts), (Outcome::SoldOut, 2), "it was refused for certain");
        let (answer, attempts) = reserve(&service(&[sold_out, booked], "").await, policy).await;
        assert_eq!((answer.outcome, attempts), (Outcome::SoldOut, 1), "it was decided");
    }

    #[tokio::test]
    async fn a_refusal_by_the_second_step_is_in_doubt_after_an_unanswered_first_one() {
        let text = "[target]\nname = \"t\"\nbase = \"BASE\"\n[idempotency]\nheader = \"K\"\n\
                    [claims]\nhold_ms = 0\n\
                    [[reserve.step]]\ntakes_seats = false\n\
                    request = { method = \"POST\", path = \"/cart\" }\n\
                    answers = [{ status = 200, means = \"next\" }]\n\
                    [[reserve.step]]\nrequest = { method = \"POST\", path = \"/order\" }\n\
                    answers = [{ status = 409, means = \"sold_out\" }]\n";
        let policy = RetryPolicy {
            timeout: Duration::from_secs(20),
            attempts: 2,
            resend: Duration::from_millis(50),
        };
        for (posts, outcome) in [
            (&["200 {}", "409 {}"][..], Outcome::SoldOut),
            (&["500 {}", "200 {}", "409 {}"], Outcome::Unknown),
        ] {
            let base_url = service(posts, "").await;
            let text = text.replace("BASE", &base_url);
            let file = FileTarget::parse(&text, Path::new(""), &[], |_| None).expect("a target");
            let (answer, _) = reserve_by(&file, &base_url, policy).await;
            assert_eq!(answer.outcome, outcome, "{posts:?}");
        }
    }

    #[tokio::test]
    async fn a_step_that_sets_seats_aside_is_sent_once() {
        let text = "[target]\nname = \"t\"\nbase = \"BASE\"\n[idempotency]\nheader = \"K\"\n\
                    [claims]\nhold_ms = 0\n\
                    [[reserve.step]]\ntakes_seats = true\n\
                    request = { method = \"POST\", path = \"/cart\" }\n\
                    answers = [{ status = 200, means = \"next\" }]\n\
                    [[reserve.step]]\nrequest = { method = \"POST\", path = \"/order\" }\n\
                    answers = [{ status = 201, means = \"ok\", capture = { booking = \"$.id\" } }]\n";
        let base_url = service(&["500 {}", "200 {}", r#"201 {"id":"b"}"#], "").await;
        let text = text.replace("BASE", &base_url);
        let file = FileTarget::parse(&text, Path::new(""), &[], |_| None).expect("a target");
        let policy = RetryPolicy {
            timeout: Duration::from_secs(20),
            attempts: 3,
            resend: Duration::from_millis(50),
        };
        let (answer, attempts) = reserve_by(&file, &base_url, policy).await;
        assert_eq!(
            (answer.outcome, attempts),
            (Outcome::Unknown, 1),
            "the cart may be twice there"
        );
    }

    #[tokio::test]
    async fn a_wait_that_is_longer_than_the_operation_ends_it() {
        let policy = RetryPolicy {
            timeout: Duration::from_secs(20),
            attempts: 3,
            resend: Duration::from_millis(50),
        };
        // A header instead of a reason phrase.
        let later = "503\r\nretry-after:18446744073709551615\r\nx: {\"code\":\"retry_later\"}";
        let service = service(&[later, r#"201 {"id":"b","hold_ms":5000}"#], "").await;
        let (answer, attempts) = reserve(&service, policy).await;
        assert_eq!((answer.outcome, attempts), (Outcome::Throttled, 1));
    }

    #[test]
    fn a_counter_is_summed_over_its_labels_and_no_other_counter() {
        let metrics = "# TYPE reserve_retries_total counter\n\
                       reserve_retries_total{strategy=\"optimistic\"} 3\n\
                       reserve_retries_total{strategy=\"hybrid\"} 4\n\
                       reserve_retries_total_ever 100\n";
        assert_eq!(sum_of("reserve_retries_total", metrics), 7);
        assert_eq!(sum_of("reserve_retries_total", "reserve_retries_total 5\n"), 5);
    }
}
