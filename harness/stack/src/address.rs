//! Where a server is: a URL as far as a probe needs it.

use std::time::Duration;

use tokio::net::TcpStream;

/// A server that takes longer than this to answer a probe is not ready. A RabbitMQ that shares two
/// busy cores may need seconds.
const PROBE_WITHIN: Duration = Duration::from_secs(15);

/// A `scheme://user:password@host:port/path` URL, as far as a probe needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl Address {
    pub(crate) fn parse(url: &str, schemes: &[&str], default_port: u16) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if !schemes.contains(&scheme) {
            return None;
        }
        let authority = rest.split(['/', '?']).next()?;
        let (login, place) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(login, place)| (Some(login), place));
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, "")))
        {
            Some((user, password)) => (non_empty(user), non_empty(password)),
            None => (None, None),
        };
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match place.strip_prefix('[') {
            Some(bracketed) => {
                bracketed.split_once(']').map(|(host, rest)| (host, rest.strip_prefix(':')))?
            }
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(default_port), str::parse).ok()?;
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port, user, password })
    }

    /// Host and port: what may be shown.
    pub(crate) fn shown(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Opens a connection to it.
    pub(crate) async fn connect(&self) -> Result<TcpStream, String> {
        TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Bounds a probe in time.
pub(crate) async fn within<T>(probe: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(PROBE_WITHIN, probe)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PROBE_WITHIN.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_urls_and_shown_without_passwords() {
        let parsed = Address::parse("postgres://me:s3:cret@db.example:6000/x", &["postgres"], 5432)
            .expect("a URL");
        assert_eq!(
            (parsed.host.as_str(), parsed.port, parsed.password.as_deref()),
            ("db.example", 6000, Some("s3:cret"))
        );
        assert_eq!(parsed.shown(), "db.example:6000");
        let default = Address::parse("redis://127.0.0.1", &["redis"], 6379).expect("a URL");
        assert_eq!((default.port, default.user, default.password), (6379, None, None));
        let six = Address::parse("amqp://[::1]:5673", &["amqp"], 5672).expect("a URL");
        assert_eq!((six.host.as_str(), six.port), ("::1", 5673));
        for wrong in ["", "localhost", "http://x", "postgres://", "postgres://h:notaport/x"] {
            assert_eq!(Address::parse(wrong, &["postgres"], 5432), None, "{wrong:?}");
        }
    }
}
