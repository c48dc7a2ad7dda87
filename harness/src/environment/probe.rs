//! Asking a server whether it is there and what it is. A probe speaks just enough of a protocol to
//! know.

use std::{collections::BTreeMap, time::Duration};

use slotproof_reports::run_report::ServerBlock;
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A server that takes longer than this to answer a probe is not ready.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

/// PostgreSQL settings that a figure depends on.
const POSTGRES_SETTINGS: [&str; 6] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_connections",
    "wal_sync_method",
];

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

    async fn connect(&self) -> Result<TcpStream, String> {
        TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Bounds a probe in time.
async fn within<T>(probe: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(PROBE_WITHIN, probe)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PROBE_WITHIN.as_secs())))
}

/// Connects, and reads version and settings.
pub(crate) async fn postgres(url: &str) -> Result<ServerBlock, String> {
    within(async {
        let text = |error: sqlx::Error| error.to_string();
        let mut connection = PgConnection::connect(url).await.map_err(text)?;
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select name, current_setting(name) from pg_settings where name = any($1) or name = 'server_version'",
        )
        .bind(POSTGRES_SETTINGS.map(str::to_owned).to_vec())
        .fetch_all(&mut connection)
        .await
        .map_err(text)?;
        connection.close().await.map_err(text)?;
        let mut settings: BTreeMap<_, _> = rows.into_iter().collect();
        let version = settings.remove("server_version").unwrap_or_default();
        Ok(ServerBlock { name: "postgresql".to_owned(), version, settings })
    })
    .await
}

/// Speaks RESP: logs in, then asks for version and persistence.
pub(crate) async fn redis(address: &Address) -> Result<ServerBlock, String> {
    within(async {
        let mut stream = address.connect().await?;
        if let Some(password) = &address.password {
            let answer = match &address.user {
                Some(user) => redis_command(&mut stream, &["AUTH", user, password]).await?,
                None => redis_command(&mut stream, &["AUTH", password]).await?,
            };
            if !answer.starts_with("+OK") {
                return Err(answer);
            }
        }
        let info = redis_command(&mut stream, &["INFO"]).await?;
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
                .map(str::to_owned)
        };
        let version = field("redis_version")
            .ok_or_else(|| info.lines().next().unwrap_or("it said nothing").to_owned())?;
        let settings =
            field("aof_enabled").map(|on| ("aof_enabled".to_owned(), on)).into_iter().collect();
        Ok(ServerBlock { name: "redis".to_owned(), version, settings })
    })
    .await
}

async fn redis_command(stream: &mut TcpStream, words: &[&str]) -> Result<String, String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await.map_err(|error| error.to_string())? == 0 {
            return Err("it closed the connection".to_owned());
        }
        let text = String::from_utf8_lossy(&answer);
        let complete = match text.strip_prefix('$').and_then(|rest| rest.split_once("\r\n")) {
            Some((length, body)) => {
                length.parse::<usize>().is_ok_and(|length| body.len() >= length + 2)
            }
            None => text.ends_with("\r\n") && !text.starts_with('$'),
        };
        if complete {
            return Ok(text.into_owned());
        }
    }
}

/// Speaks AMQP 0-9-1 up to the server's first frame, `connection.start`, which carries its version.
pub(crate) async fn rabbitmq(address: &Address) -> Result<ServerBlock, String> {
    within(async {
        let mut stream = address.connect().await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await.map_err(|error| error.to_string())?;
        let mut header = [0; 7];
        stream.read_exact(&mut header).await.map_err(|error| error.to_string())?;
        let [kind, _, _, length @ ..] = header;
        let length = u32::from_be_bytes(length);
        if kind != 1 || length > 64 * 1024 {
            return Err("it does not speak AMQP 0-9-1".to_owned());
        }
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.map_err(|error| error.to_string())?;
        let version = amqp_version(&payload).ok_or("its first frame names no version")?;
        Ok(ServerBlock { name: "rabbitmq".to_owned(), version, settings: BTreeMap::new() })
    })
    .await
}

/// The long string behind the short string `version` in the table of server properties.
fn amqp_version(payload: &[u8]) -> Option<String> {
    let marker = b"\x07versionS";
    let at = payload.windows(marker.len()).position(|window| window == marker)? + marker.len();
    let length = u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?) as usize;
    Some(String::from_utf8_lossy(payload.get(at + 4..at + 4 + length)?).into_owned())
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

    #[test]
    fn the_version_is_found_in_a_connection_start_frame() {
        let payload = b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x20\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8";
        assert_eq!(amqp_version(payload).as_deref(), Some("3.10.8"));
        assert_eq!(amqp_version(b"\x07versionS\x00\x00\x00\xff3"), None, "cut short");
    }
}
