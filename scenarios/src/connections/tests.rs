use std::{
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use flate2::{Compression, write::GzEncoder};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;

/// What a service does after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Goes,
    Stays,
}

/// A service that answers each request with these bytes; how many connections it had.
async fn service(answer: impl Into<Vec<u8>>, then: Then) -> (SocketAddr, Arc<AtomicUsize>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while read_request(&mut stream).await.is_some() {
                    stream.write_all(&answer).await.expect("somebody reads");
                    if then == Then::Goes {
                        return;
                    }
                }
            });
        }
    });
    (address, connections)
}

/// The text of a request; `None` at the end.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let begun = head.len();
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
        if let Some(value) = head[begun..].strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the whole body");
    Some(head + &String::from_utf8(body).expect("text"))
}

fn connections(timeout: Duration) -> Connections {
    Connections::new(reqwest::Client::new(), timeout)
}

const PATIENT: Duration = Duration::from_secs(60);

fn get(address: SocketAddr) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = format!("http://{address}/slots/7?seats=2").parse().expect("a URL");
    request
}

async fn said(http: &Connections, address: SocketAddr) -> Result<String, Failure> {
    let answered = http.exchange(get(address), None).await.map_err(|it| it.failure)?;
    Ok(format!("{} {}", answered.status, String::from_utf8_lossy(&answered.body)))
}

#[tokio::test]
async fn a_request_is_written_as_every_service_reads_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let heard = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let mut stream = BufReader::new(stream);
        let request = read_request(&mut stream).await.expect("a request");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("a client");
        request
    });
    let mut request = get(address).map(|_| Bytes::from_static(b"{}"));
    *request.method_mut() = http::Method::POST;
    request.headers_mut().insert("accept", HeaderValue::from_static("application/json"));
    let answered = connections(PATIENT).exchange(request, None).await.expect("an answer");
    assert_eq!((answered.status, answered.body.len()), (204, 0));
    let heard = heard.await.expect("it heard one").replace(&address.to_string(), "SERVICE");
    insta::assert_snapshot!(heard.replace('\r', ""), @"
    POST /slots/7?seats=2 HTTP/1.1
    host: SERVICE
    accept: application/json
    accept-encoding: gzip
    content-length: 2

    {}
    ");
}

#[tokio::test]
async fn a_file_may_name_one_of_the_hosts_that_are_at_an_address() {
    let service = "10.0.0.5:80".parse().expect("an address");
    let mut request = Request::new(Bytes::new());
    request.headers_mut().insert("host", HeaderValue::from_static("shop.example"));
    let text = String::from_utf8(connection::written(&service, &request)).expect("text");
    assert_eq!(text, "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
}

#[tokio::test]
async fn a_connection_is_used_again_unless_the_service_closes_it() {
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", Then::Stays, 1),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx", Then::Goes, 3),
        ("HTTP/1.1 200 OK\r\n\r\nx", Then::Goes, 3),
        ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", Then::Goes, 3),
        // More than was asked for: nobody knows what the next answer would be.
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxyz", Then::Stays, 3),
    ];
    for (answer, then, expected) in cases {
        let (address, count) = service(answer, then).await;
        let http = connections(PATIENT);
        for _ in 0..3 {
            assert_eq!(said(&http, address).await.as_deref(), Ok("200 x"), "{answer}");
        }
        assert_eq!(count.load(Ordering::SeqCst), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_is_not_used() {
    let (address, count) =
        service("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", Then::Goes).await;
    let http = connections(PATIENT);
    for expected in 1..=3 {
        assert_eq!(said(&http, address).await.as_deref(), Ok("200 x"));
        assert_eq!(count.load(Ordering::SeqCst), expected);
        // The service closes after its answer. What comes over another connection after that comes
        // after the end of the first one.
        let (elsewhere, _) =
            service("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ny", Then::Stays).await;
        assert_eq!(said(&http, elsewhere).await.as_deref(), Ok("200 y"));
    }
}

#[tokio::test]
async fn clients_that_ask_at_once_have_connections_of_their_own_and_one_client_keeps_one() {
    let (address, count) =
        service("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", Then::Stays).await;
    let http = connections(PATIENT);
    let at_once = || async {
        let asked = (0..10).map(|_| said(&http, address));
        assert!(futures::future::join_all(asked).await.iter().all(Result::is_ok));
    };
    at_once().await;
    at_once().await;
    assert_eq!(count.load(Ordering::SeqCst), 10, "the second ten use those of the first");
    let alone = http.of_one_client();
    for _ in 0..3 {
        let (one, other) = tokio::join!(said(&alone, address), said(&alone, address));
        assert!(one.is_ok() && other.is_ok());
    }
    assert_eq!(count.load(Ordering::SeqCst), 10 + 2 + 1 + 1, "one of two is kept");
}

#[tokio::test]
async fn every_way_to_write_a_body_is_read_whole() {
    let long = "y".repeat(700_000);
    let packed = {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(long.as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    };
    let head = |more: String| format!("HTTP/1.1 200 OK\r\n{more}\r\n").into_bytes();
    let cases = [
        (head("content-length: 0\r\n".to_owned()), ""),
        (head("content-encoding: GZIP\r\ncontent-length: 0\r\n".to_owned()), ""),
        (
            [head(format!("content-length: {}\r\n", long.len())), long.clone().into()].concat(),
            &*long,
        ),
        (
            [
                head("transfer-encoding: chunked\r\n".to_owned()),
                b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nlast: 1\r\n\r\n".to_vec(),
            ]
            .concat(),
            "abcdefg",
        ),
        (
            [
                b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(),
                head("content-length: 1\r\n".to_owned()),
                b"z".to_vec(),
            ]
            .concat(),
            "z",
        ),
        (
            [
                head(format!("content-encoding: GZip\r\ncontent-length: {}\r\n", packed.len())),
                packed,
            ]
            .concat(),
            &*long,
        ),
    ];
    for (answer, expected) in cases {
        let (address, count) = service(answer, Then::Stays).await;
        let http = connections(PATIENT);
        for _ in 0..2 {
            let said = said(&http, address).await.expect("an answer");
            assert!(said.strip_prefix("200 ") == Some(expected), "{} bytes", said.len());
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn what_is_no_answer_is_known_for_what_it_is() {
    let too_long = [
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BODY_BYTES_MAX + 1).into_bytes(),
        vec![b'x'; BODY_BYTES_MAX + 1],
    ]
    .concat();
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    bomb.write_all(&vec![0; BODY_BYTES_MAX + 1]).expect("memory");
    let bomb = bomb.finish().expect("memory");
    let bomb = [
        format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            bomb.len()
        )
        .into_bytes(),
        bomb,
    ]
    .concat();
    let cases = [
        (too_long, Failure::BodyTooLong),
        (bomb, Failure::BodyTooLong),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort".to_vec(), Failure::ConnectionLost),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab".to_vec(),
            Failure::ConnectionLost,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc".to_vec(),
            Failure::ConnectionLost,
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-len".to_vec(), Failure::ConnectionLost),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Failure::ConnectionLost),
        (b"".to_vec(), Failure::ConnectionLost),
    ];
    for (answer, failure) in cases {
        let begins = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
        let (address, _) = service(answer, Then::Goes).await;
        assert_eq!(said(&connections(PATIENT), address).await, Err(failure), "{begins}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_a_definite_no_and_a_late_answer_is_unknown() {
    let (address, _) = service("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n", Then::Stays).await;
    let http = connections(Duration::from_millis(20));
    assert_eq!(said(&http, address).await, Err(Failure::Timeout), "the body does not come");
    let patience = Some(Duration::from_millis(10));
    let late = http.exchange(get(address), patience).await.expect_err("it does not come");
    assert_eq!(late.why, "no answer within 10ms");

    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let refused =
        connections(PATIENT).exchange(get(address), None).await.expect_err("nobody is there");
    assert_eq!(refused.failure, Failure::NotConnected);
    assert!(refused.why.contains("Connection refused"), "{}", refused.why);
}

/// Servers say 408 to a connection that waits for too long: that is about no request of ours.
#[tokio::test]
async fn what_a_service_says_unasked_is_not_taken_for_the_next_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (asked, may_say) = tokio::sync::oneshot::channel();
    let (told, has_said) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
        let (first, _) = listener.accept().await.expect("a client");
        let mut first = BufReader::new(first);
        read_request(&mut first).await.expect("a request");
        first.write_all(answer).await.expect("somebody reads");
        may_say.await.expect("the client says when");
        let late = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
        first.write_all(late).await.expect("the connection is open");
        told.send(()).expect("the client waits");
        let (second, _) = listener.accept().await.expect("a client");
        let mut second = BufReader::new(second);
        read_request(&mut second).await.expect("a request");
        second.write_all(answer).await.expect("somebody reads");
    });
    let http = connections(PATIENT);
    assert_eq!(said(&http, address).await.as_deref(), Ok("200 x"));
    asked.send(()).expect("the service waits");
    has_said.await.expect("it says so");
    assert_eq!(said(&http, address).await.as_deref(), Ok("200 x"));
}
