//! What the bytes of an answer say: where its head and its body end (RFC 9112, 6.3).
//!
//! Functions of what has come so far: where that is not enough, they are asked again with more.

use std::mem::MaybeUninit;

use http::{
    HeaderMap, Method,
    header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING},
};
use httparse::{ParserConfig, Status, parse_chunk_size};

use super::{BODY_BYTES_MAX, Failure, Unanswered, too_long};

/// No head of a booking service is longer.
const HEAD_BYTES_MAX: usize = 256 << 10;
/// No booking service sends more of them.
const HEADERS_MAX: usize = 128;
/// What chunks may add to a body: the shortest have one byte of it in six.
const CHUNKED_BYTES_MAX: usize = 8 * BODY_BYTES_MAX;

/// What stands before the body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// Whether another request may follow on the same connection.
    pub(super) persists: bool,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// It has so many bytes.
    Length(usize),
    /// It comes in chunks; one without a byte is the last.
    Chunked,
    /// The connection ends with it.
    UntilTheEnd,
}

impl Head {
    /// Whether the answer itself comes after it: RFC 9110, 15.2. Nobody asks to switch protocols.
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// The head, and where it ends; `None` if more must come.
///
/// # Errors
/// It is no answer.
pub(super) fn head(received: &[u8], method: &Method) -> Result<Option<(Head, usize)>, Unanswered> {
    let mut headers = [MaybeUninit::uninit(); HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut response, received, &mut headers);
    let ends = match parsed.map_err(|error| unreadable(&error.to_string()))? {
        Status::Complete(ends) => ends,
        Status::Partial if received.len() > HEAD_BYTES_MAX => {
            return Err(unreadable("its head is longer than 256 KiB"));
        }
        Status::Partial => return Ok(None),
    };
    let status = response.code.expect("a complete head has one");
    let version = response.version.expect("a complete head has one");
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(header.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(unreadable(&format!("the header {} cannot be read", header.name)));
        };
        headers.append(name, value);
    }
    let has_none = *method == Method::HEAD || matches!(status, 100..200 | 204 | 304);
    let framing = if has_none { Framing::Length(0) } else { framing(&headers)? };
    // What says both may have been read otherwise on its way.
    let twice = headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    let persists = version == 1 && status != 101 && !twice && !says(&headers, &CONNECTION, "close");
    Ok(Some((Head { status, headers, framing, persists }, ends)))
}

fn framing(headers: &HeaderMap) -> Result<Framing, Unanswered> {
    if headers.contains_key(TRANSFER_ENCODING) {
        let last = words(headers, &TRANSFER_ENCODING).last();
        let chunked = last.is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
        return Ok(if chunked { Framing::Chunked } else { Framing::UntilTheEnd });
    }
    let mut lengths = words(headers, &CONTENT_LENGTH);
    let Some(length) = lengths.next() else {
        let unreadable = headers.contains_key(CONTENT_LENGTH);
        return if unreadable { Err(no_length()) } else { Ok(Framing::UntilTheEnd) };
    };
    let digits = !length.is_empty() && length.bytes().all(|it| it.is_ascii_digit());
    if !digits || lengths.any(|it| it != length) {
        return Err(no_length());
    }
    // One that no number holds is too long for certain.
    Ok(Framing::Length(length.parse().unwrap_or(usize::MAX)))
}

fn no_length() -> Unanswered {
    unreadable("its content-length is no number")
}

/// The body, and where it ends; `None` if more must come, or only the end of the connection tells.
///
/// # Errors
/// It is longer than any answer of a booking service, or no body.
pub(super) fn body(
    received: &[u8],
    framing: Framing,
) -> Result<Option<(Vec<u8>, usize)>, Unanswered> {
    match framing {
        Framing::Length(length) if length > BODY_BYTES_MAX => Err(too_long()),
        Framing::Length(length) => Ok(received.get(..length).map(|body| (body.to_vec(), length))),
        Framing::UntilTheEnd if received.len() > BODY_BYTES_MAX => Err(too_long()),
        Framing::UntilTheEnd => Ok(None),
        Framing::Chunked => chunked(received),
    }
}

fn chunked(received: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Unanswered> {
    if received.len() > CHUNKED_BYTES_MAX {
        return Err(too_long());
    }
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let size = match parse_chunk_size(&received[at..]) {
            Ok(Status::Complete((size, length))) => {
                at += size;
                usize::try_from(length).unwrap_or(usize::MAX)
            }
            Ok(Status::Partial) => return Ok(None),
            Err(_) => return Err(unreadable("a chunk of it has no size")),
        };
        if size == 0 {
            break;
        }
        if body.len().saturating_add(size) > BODY_BYTES_MAX {
            return Err(too_long());
        }
        let Some(chunk) = received.get(at..at + size + 2) else { return Ok(None) };
        let Some(chunk) = chunk.strip_suffix(b"\r\n") else {
            return Err(unreadable("a chunk of it is longer than it says"));
        };
        body.extend_from_slice(chunk);
        at += size + 2;
    }
    let mut trailers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(&received[at..], &mut trailers) {
        Ok(Status::Complete((length, _))) => Ok(Some((body, at + length))),
        Ok(Status::Partial) => Ok(None),
        Err(error) => Err(unreadable(&error.to_string())),
    }
}

/// The parts of a header that is a list.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|it| it.to_str().ok());
    values.flat_map(|it| it.split(',')).map(str::trim)
}

fn says(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    words(headers, name).any(|it| it.eq_ignore_ascii_case(word))
}

fn unreadable(why: &str) -> Unanswered {
    Unanswered::because(Failure::ConnectionLost, format!("what came is no answer: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Result<Option<(u16, String, bool)>, String> {
        let read = || {
            let Some((head, begins)) = head(text.as_bytes(), &Method::GET)? else {
                return Ok(None);
            };
            let rest = &text.as_bytes()[begins..];
            let Some((body, ends)) = body(rest, head.framing)? else { return Ok(None) };
            let body = String::from_utf8_lossy(&body).into_owned();
            Ok(Some((head.status, body, head.persists && ends == rest.len())))
        };
        read().map_err(|error: Unanswered| error.why)
    }

    #[test]
    fn the_end_of_a_body_is_where_rfc_9112_says() {
        let cases = [
            ("content-length: 3\r\n\r\nabc", Some(("abc", true))),
            ("Content-Length: 3, 3\r\ncontent-length: 3\r\n\r\nabc", Some(("abc", true))),
            ("content-length: 3\r\nconnection: Keep-Alive, Close\r\n\r\nabc", Some(("abc", false))),
            ("content-length: 3\r\n\r\nabcHTTP/1.1 200", Some(("abc", false))),
            ("content-length: 3\r\n\r\nab", None),
            ("transfer-encoding: Chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", Some(("ab", true))),
            (
                "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                Some(("", true)),
            ),
            (
                "transfer-encoding: chunked\r\n\r\nA;n=v\r\n0123456789\r\n0\r\nx: y\r\n\r\n",
                Some(("0123456789", true)),
            ),
            (
                "transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
                Some(("a", false)),
            ),
            ("transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n", None),
            ("transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx: y\r\n", None),
            ("transfer-encoding: chunked\r\n\r\n2\r\nab", None),
            ("transfer-encoding: gzip\r\n\r\nuntil the end", None),
            ("x: y\r\n\r\nuntil the end", None),
            ("content-len", None),
        ];
        for (text, expected) in cases {
            let read = whole(&format!("HTTP/1.1 200 OK\r\n{text}"));
            let expected = expected.map(|(body, persists)| (200, body.to_owned(), persists));
            assert_eq!(read, Ok(expected), "{text}");
        }
        assert_eq!(whole("HTTP/1.1 204 No Content\r\n\r\n"), Ok(Some((204, String::new(), true))));
        assert_eq!(
            whole("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na"),
            Ok(Some((200, "a".to_owned(), false)))
        );
        let of_head = head(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", &Method::HEAD);
        let (of_head, _) = of_head.expect("an answer").expect("whole");
        assert_eq!(of_head.framing, Framing::Length(0));
    }

    #[test]
    fn what_is_no_answer_is_refused_with_the_reason() {
        let cases = [
            ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "no number"),
            ("HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na", "no number"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "no number"),
            ("HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n", "no number"),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
                "longer than 1 MiB",
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", "no size"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n",
                "longer than 1 MiB",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
                "longer than it says",
            ),
            ("HTTP/2 200 OK\r\n\r\n", "no answer"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "no answer"),
        ];
        for (text, reason) in cases {
            let error = whole(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn an_answer_is_the_same_however_its_bytes_come() {
        let answers = [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 409 Conflict\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nt: u\r\n\r\n",
        ];
        for answer in answers {
            let read = whole(answer);
            assert!(matches!(&read, Ok(Some(_))), "{read:?}");
            for end in 0..answer.len() {
                assert_eq!(whole(&answer[..end]), Ok(None), "{}", &answer[..end]);
            }
        }
    }
}
