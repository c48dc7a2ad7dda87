//! Plain HTTP/1.1: connections that wait to be used again, by the service that they lead to.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, uri::Authority};

use super::{
    Answered, Failure, Unanswered,
    connection::{Connection, Exchange},
};

/// A connection that has waited for longer may have been forgotten by something on its way.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// Connections that wait. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    services: Arc<Mutex<Vec<Service>>>,
    /// How many are kept for each service.
    kept: usize,
}

/// A service: one of few.
struct Service {
    authority: Authority,
    /// Those that were used last are at the end.
    idle: VecDeque<Idle>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// For any number of clients at once.
    pub(super) fn shared() -> Self {
        Self { services: Arc::default(), kept: usize::MAX }
    }

    /// For a client that makes one request at a time.
    pub(super) fn of_one_client() -> Self {
        Self { kept: 1, ..Self::shared() }
    }

    /// Sends a request over a connection that waits, or over a new one, and reads the answer.
    pub(super) async fn exchange(&self, request: &Request<Bytes>) -> Result<Answered, Unanswered> {
        let authority = request.uri().authority().ok_or_else(|| {
            Unanswered::because(Failure::NotConnected, "the URL has no host".to_owned())
        })?;
        let service = self.service(authority);
        while let Some(mut connection) = self.take(service) {
            match connection.exchange(authority, request).await? {
                Exchange::Answered(answered) => {
                    self.keep(service, connection);
                    return Ok(answered);
                }
                Exchange::AnsweredLast(answered) => return Ok(answered),
                // The service had closed it: the next one.
                Exchange::NotSent => {}
            }
        }
        let mut connection = Connection::open(authority).await?;
        match connection.exchange(authority, request).await? {
            Exchange::Answered(answered) => {
                self.keep(service, connection);
                Ok(answered)
            }
            Exchange::AnsweredLast(answered) => Ok(answered),
            Exchange::NotSent => {
                let why = format!("{authority} closed a new connection");
                Err(Unanswered::because(Failure::ConnectionLost, why))
            }
        }
    }

    fn services(&self) -> MutexGuard<'_, Vec<Service>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a service.
    fn service(&self, authority: &Authority) -> usize {
        let mut services = self.services();
        let known = services.iter().position(|it| it.authority.as_str() == authority.as_str());
        known.unwrap_or_else(|| {
            services.push(Service { authority: authority.clone(), idle: VecDeque::new() });
            services.len() - 1
        })
    }

    /// The one that was used last: those that were not needed for long end.
    fn take(&self, service: usize) -> Option<Connection> {
        let mut services = self.services();
        let idle = &mut services[service].idle;
        while idle.front().is_some_and(|longest| longest.since.elapsed() >= IDLE_MAX) {
            idle.pop_front();
        }
        Some(idle.pop_back()?.connection)
    }

    fn keep(&self, service: usize, connection: Connection) {
        let idle = &mut self.services()[service].idle;
        if idle.len() < self.kept {
            idle.push_back(Idle { connection, since: Instant::now() });
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("kept", &self.kept).finish_non_exhaustive()
    }
}
