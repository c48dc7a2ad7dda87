//! Where the components of a running topology answer.

use std::collections::BTreeMap;

use crate::topology::Wiring;

/// URLs by the names of the components, and which of them the service uses for what. URLs hold
/// passwords: they go into the environment of child processes, never into arguments or reports.
#[derive(Debug, Clone)]
pub struct Endpoints {
    urls: BTreeMap<String, String>,
    wiring: Wiring,
}

impl Endpoints {
    /// URLs by component names.
    ///
    /// # Panics
    /// The database of the wiring has no URL: no environment starts without one.
    pub(crate) fn new(urls: BTreeMap<String, String>, wiring: Wiring) -> Self {
        assert!(urls.contains_key(&wiring.database), "every environment has a database");
        Self { urls, wiring }
    }

    /// The URL of a component; `None` where an external environment does not have it.
    pub fn get(&self, component: &str) -> Option<&str> {
        self.urls.get(component).map(String::as_str)
    }

    /// The database of the service.
    pub fn postgres_url(&self) -> &str {
        self.get(&self.wiring.database).expect("it is checked when the endpoints are made")
    }

    /// The databases of the service: the shards, or the one that there is.
    pub fn postgres_urls(&self) -> Vec<&str> {
        match self.wiring.shards.is_empty() {
            true => vec![self.postgres_url()],
            false => self.wiring.shards.iter().filter_map(|name| self.get(name)).collect(),
        }
    }

    /// `NAME=URL` of each shard, with commas in between, as `serve` and `rebalance` take them; `None`
    /// where there are none.
    pub fn shards(&self) -> Option<String> {
        let shard = |name: &String| Some(format!("{name}={}", self.get(name)?));
        let shards: Vec<String> = self.wiring.shards.iter().filter_map(shard).collect();
        (!shards.is_empty()).then(|| shards.join(","))
    }

    /// The pooler before the database of the service, if there is one.
    pub fn pooler_url(&self) -> Option<&str> {
        self.get(self.wiring.pooler.as_deref()?)
    }

    /// The wiring of the service.
    pub fn wiring(&self) -> &Wiring {
        &self.wiring
    }

    /// The same components, and the service wired to them in another way.
    pub fn wired(&self, wiring: Wiring) -> Self {
        Self { wiring, ..self.clone() }
    }

    /// The standbys that serve reads of the service.
    pub fn read_urls(&self) -> Vec<&str> {
        self.wiring.reads.iter().filter_map(|name| self.get(name)).collect()
    }

    /// Redis of the service, if there is one.
    pub fn redis_url(&self) -> Option<&str> {
        self.get(self.wiring.locks.as_deref()?)
    }

    /// The cache of the service, if there is one.
    pub fn cache_url(&self) -> Option<&str> {
        self.get(self.wiring.cache.as_deref()?)
    }

    /// RabbitMQ of the service, if there is one.
    pub fn amqp_url(&self) -> Option<&str> {
        self.get(self.wiring.queue.as_deref()?)
    }
}
