//! One connection of HTTP/1.1 (RFC 9112), without TLS. Whoever uses it reads and writes itself, and
//! while it waits it has no buffers: a load has thousands of them, most of them waiting.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    Method, Request,
    header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING},
    uri::{Authority, PathAndQuery},
};
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

use super::{
    Answered, Failure, Unanswered,
    reading::{self, Framing, Head},
};

/// The head of most requests is shorter.
const HEAD_BYTES: usize = 512;
/// Headers that say what is true of the connection and the body, whatever a file says.
const OURS: [HeaderName; 3] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];
/// What is read at once.
const PIECE_BYTES: usize = 64 << 10;

thread_local! {
    /// What a read fills, between two awaits.
    static PIECE: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE_BYTES].into());
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Exchange {
    /// It has an answer, and the connection may be used again.
    Answered(Answered),
    /// It has an answer, which was the connection's last.
    AnsweredLast(Answered),
    /// The connection had ended before: nothing of it was sent.
    NotSent,
}

impl Connection {
    /// # Errors
    /// Nobody listens there, or no connection can be had.
    pub(super) async fn open(service: &Authority) -> Result<Self, Unanswered> {
        let refused = |error: io::Error| {
            Unanswered::because(Failure::NotConnected, format!("connect to {service}: {error}"))
        };
        let host = service.host().trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, service.port_u16().unwrap_or(80)));
        let stream = stream.await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        Ok(Self { stream })
    }

    /// Sends a request to a service and reads the whole answer.
    ///
    /// # Errors
    /// The connection broke, or what came is no answer: the request may have been carried out.
    pub(super) async fn exchange(
        &mut self,
        service: &Authority,
        request: &Request<Bytes>,
    ) -> Result<Exchange, Unanswered> {
        if self.has_ended() {
            return Ok(Exchange::NotSent);
        }
        let text = written(service, request);
        let first = match self.stream.write(&text).await {
            Ok(written @ 1..) => written,
            // The service has closed it since, and the kernel took nothing.
            Ok(0) | Err(_) => return Ok(Exchange::NotSent),
        };
        self.stream.write_all(&text[first..]).await.map_err(lost)?;
        self.answer(request.method()).await
    }

    /// Whether the service has closed it while it waited, or has said something unasked: that would
    /// be taken for the answer to the next request. The kernel knows before the runtime does.
    fn has_ended(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        !matches!(recv(&self.stream, &mut [0_u8; 1], flags), Err(Errno::WOULDBLOCK))
    }

    async fn answer(&mut self, method: &Method) -> Result<Exchange, Unanswered> {
        let mut received = Vec::new();
        let (head, begins) = loop {
            match reading::head(&received, method)? {
                // The answer itself comes after it.
                Some((head, ends)) if head.is_interim() => drop(received.drain(..ends)),
                Some(found) => break found,
                None => self.read(&mut received).await?,
            }
        };
        let Head { status, headers, framing, persists } = head;
        let (body, ends) = loop {
            match reading::body(&received[begins..], framing)? {
                Some((body, length)) => break (body, begins + length),
                None if framing == Framing::UntilTheEnd => {
                    if self.read_or_end(&mut received).await? == 0 {
                        break (received[begins..].to_vec(), received.len());
                    }
                }
                None => self.read(&mut received).await?,
            }
        };
        let answered = Answered { status, headers, body };
        // What nobody asked for would be taken for the next answer.
        Ok(match persists && ends == received.len() {
            true => Exchange::Answered(answered),
            false => Exchange::AnsweredLast(answered),
        })
    }

    /// Appends what comes next.
    async fn read(&mut self, received: &mut Vec<u8>) -> Result<(), Unanswered> {
        match self.read_or_end(received).await? {
            0 => Err(lost(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended too early"))),
            _ => Ok(()),
        }
    }

    /// Appends what comes next: 0 bytes at the end.
    async fn read_or_end(&mut self, received: &mut Vec<u8>) -> Result<usize, Unanswered> {
        poll_fn(|context| self.poll_read(context, received)).await.map_err(lost)
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        received: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        PIECE.with_borrow_mut(|piece| {
            let mut piece = ReadBuf::new(piece);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece))?;
            received.extend_from_slice(piece.filled());
            Poll::Ready(Ok(piece.filled().len()))
        })
    }
}

/// A request as it is written to its service.
pub(super) fn written(service: &Authority, request: &Request<Bytes>) -> Vec<u8> {
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let body = request.body();
    let mut text = Vec::with_capacity(HEAD_BYTES + body.len());
    for part in [request.method().as_str(), " ", path, " HTTP/1.1\r\nhost: "] {
        text.extend_from_slice(part.as_bytes());
    }
    // A file may ask for another of the hosts that are at one address.
    let host = request.headers().get(HOST);
    text.extend_from_slice(host.map_or(service.as_str().as_bytes(), HeaderValue::as_bytes));
    for (name, value) in request.headers().iter().filter(|(name, _)| !OURS.contains(name)) {
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
    }
    // A request of these that carries nothing says so: RFC 9110, 8.6.
    let carries = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
    if carries || !body.is_empty() {
        text.extend_from_slice(format!("\r\ncontent-length: {}", body.len()).as_bytes());
    }
    text.extend_from_slice(b"\r\n\r\n");
    text.extend_from_slice(body);
    text
}

fn lost(error: io::Error) -> Unanswered {
    Unanswered::because(Failure::ConnectionLost, format!("the connection broke: {error}"))
}
