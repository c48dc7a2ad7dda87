//! The rig of a replay: real servers, the service as directed processes, and a look at the
//! database from the side.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use redis::aio::ConnectionManager;
use slotproof_scenarios::{
    Connections,
    target::{FileTarget, file::SetUp, reference},
};
use slotproof_target_service::pausing::Order;
use slotproof_vocabulary::{SlotId, StrategyKind};
use sqlx::{PgPool, postgres::PgPoolOptions};

use super::channel::{Channel, Routes};
use slotproof_evidence::RunDirectory;
use slotproof_stack::{Directed, Environment, Replicas, ServiceSpec, guard::Guard};

/// Tries of a call: as many as in the models.
const TRIES: u32 = 2;
/// Connections to look from the side: one for each case that is played at once.
const OBSERVERS: u32 = 16;
/// Connections of a directed process. A call that crashes never gives its own back.
const CONNECTIONS: u32 = 1_000;
/// Nothing may end by itself, neither a hold nor a lock.
const FOR_EVER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Directed processes of one strategy on running servers.
pub struct ReplayRig {
    pub(super) strategy: StrategyKind,
    pub(super) http: Connections,
    pub(super) targets: Vec<String>,
    channels: Vec<Channel>,
    pub(super) routes: Routes,
    pub(super) database: PgPool,
    pub(super) redis: Option<ConnectionManager>,
    /// How requests of clients are written.
    pub(super) target: Arc<FileTarget>,
    replicas: Replicas,
}

impl ReplayRig {
    /// Starts the service.
    ///
    /// # Errors
    /// It does not start, or the servers do not answer.
    pub async fn start(
        strategy: StrategyKind,
        environment: &Environment,
        run: &RunDirectory,
        guard: &Guard,
    ) -> Result<Self> {
        let spec = ServiceSpec {
            strategy,
            endpoints: environment.endpoints.clone(),
            hold: FOR_EVER,
            connections: CONNECTIONS,
            // Within a process, requests that lock in Redis wait for each other where no director
            // can see them.
            replicas: if strategy.needs_redis() { 4 } else { 1 },
            port: None,
            lock_ttl: FOR_EVER,
            announces: false,
            directed: Directed::Yes { tries: TRIES },
            replaceable: false,
        };
        let replicas = Replicas::start(&spec, &run.logs(), guard).await?;
        let routes = Routes::default();
        let mut channels = Vec::new();
        for address in replicas.directors() {
            let channel = Channel::connect(*address, routes.clone()).await;
            channels.push(channel.context("connect to the directed service")?);
        }
        let redis = match environment.endpoints.redis_url() {
            Some(url) if strategy.needs_redis() => {
                Some(ConnectionManager::new(redis::Client::open(url)?).await?)
            }
            _ => None,
        };
        let database = PgPoolOptions::new().max_connections(OBSERVERS);
        let database = database.connect(environment.endpoints.postgres_url()).await?;
        let http = Connections::default();
        let targets = replicas.targets();
        let target = Arc::new(reference::target(&targets[0]));
        Ok(Self { strategy, http, targets, channels, routes, database, redis, target, replicas })
    }

    /// A fresh slot.
    pub(super) async fn slot(&self, capacity: u8) -> Result<SlotId> {
        let run = uuid::Uuid::new_v4().simple().to_string();
        let capacities = [capacity.into()];
        let prepared =
            self.target.prepare(&self.http, &run, &capacities, &SetUp::default()).await?;
        let place = prepared.places.first().context("a slot was made")?;
        place.slot_name().parse().context("the slot's id")
    }

    /// Orders the process that a call was sent to.
    pub(super) fn order(&self, process: usize, order: Order) {
        self.channels[process % self.channels.len()].order(order);
    }

    pub(super) fn target(&self, process: usize) -> &str {
        &self.targets[process % self.targets.len()]
    }

    /// Where the service answers.
    pub fn targets(&self) -> &[String] {
        &self.targets
    }

    /// Kills the service: calls that crashed never end, so that it cannot be asked to finish them.
    pub async fn teardown(self) {
        self.database.close().await;
        drop(self.replicas);
    }
}
