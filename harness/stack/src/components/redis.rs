//! Redis: durable or as a cache, on a loopback port, with a random password.

use std::time::Duration;

use rustix::process::Signal;
use slotproof_vocabulary::ServerBlock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Container, Started};
use crate::{
    EnvironmentError,
    address::{Address, within},
    data::{DataDirectory, Ends},
    guard::Guard,
    native::{free_port, password},
    process::Process,
    programs::Wanted,
};

/// The program of a native server.
pub(crate) const REDIS: Wanted =
    Wanted { name: "redis-server", package: "redis-server", least: 6, asks: Some("--version") };

/// URL schemes, and the port that a URL means unless it says one.
pub(crate) const SCHEMES: &[&str] = &["redis"];
pub(crate) const PORT: u16 = 6379;

const READY_WITHIN: Duration = Duration::from_secs(20);

/// Settings of a server, and its kind.
pub(crate) struct Kind {
    name: &'static str,
    settings: &'static str,
}

/// It loses nothing that it has acknowledged.
pub(crate) const DURABLE: Kind =
    Kind { name: "redis", settings: "appendonly yes\nappendfsync always\n" };
/// It writes nothing to disk, and when it is full forgets what was least used.
pub(crate) const CACHE: Kind = Kind {
    name: "redis_cache",
    settings: "appendonly no\nsave \"\"\nmaxmemory 64mb\nmaxmemory-policy allkeys-lru\n",
};

/// Starts a private server.
pub(crate) async fn start(
    name: &str,
    kind: Kind,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<Started, EnvironmentError> {
    let directory = data.fresh(name)?;
    let (port, password) = (free_port()?, password());
    // In a file, because the arguments of a process can be read by everybody.
    let settings = directory.join("redis.conf");
    let text = format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {}\n{}",
        directory.display(),
        kind.settings
    );
    data.write(&settings, &text)?;
    let mut command = data.command(&REDIS.find()?.path);
    command.arg(&settings);
    let ends = Ends { stop: Signal::TERM, abandon: Signal::KILL };
    let mut process = Process::start(data.launch(name, command, ends), guard)?;
    let address = Address {
        host: "127.0.0.1".to_owned(),
        port,
        user: None,
        password: Some(password.clone()),
    };
    let block = process.wait_ready(READY_WITHIN, || probe(kind.name, &address)).await?;
    Ok(Started {
        processes: vec![process],
        block,
        url: format!("redis://:{password}@127.0.0.1:{port}/"),
    })
}

/// The same server in a container. A server reads its settings as arguments too.
pub(crate) fn container(kind: &Kind, password: &str) -> Container {
    let settings = kind.settings.lines().flat_map(|line| {
        let (name, value) = line.split_once(' ').expect("a setting has a value");
        [format!("--{name}"), value.trim_matches('"').to_owned()]
    });
    let password = ["--requirepass".to_owned(), password.to_owned()];
    let program = ["redis-server".to_owned()];
    Container {
        local: "slotproof/redis:7.0",
        official: "redis:7.0",
        port: PORT,
        variables: Vec::new(),
        arguments: program.into_iter().chain(settings).chain(password).collect(),
        url: |password, port| format!("redis://:{password}@127.0.0.1:{port}/"),
    }
}

/// Speaks RESP: logs in, then asks for version and persistence.
pub(crate) async fn probe(kind: &str, address: &Address) -> Result<ServerBlock, String> {
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
            .ok_or_else(|| info.lines().next().unwrap_or("it sent an empty answer").to_owned())?;
        let settings = ["aof_enabled", "maxmemory_human", "maxmemory_policy"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), field(name)?)))
            .collect();
        Ok(ServerBlock { name: kind.to_owned(), version, settings })
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
