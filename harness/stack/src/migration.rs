//! The service moves from one topology to another while it is under load. The servers of both are
//! there; its processes are replaced one after the other, and doctors move from database to database.

use std::process::Stdio;

use tokio::process::Command;

use slotproof_vocabulary::StrategyKind;

use crate::{Endpoints, Replicas, Topology, Wiring, replicas::SHARDS};

/// Why a service cannot move from one topology to another.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The two are one.
    #[error("--from and --to are both `{0}`")]
    Same(String),
    /// Two servers have one name.
    #[error("`{0}` is another component in `{1}` than in `{2}`; give one of them another name")]
    OtherComponent(String, String, String),
    /// Doctors that would have to leave shards, or move among others.
    #[error(
        "`{0}` has shards; a service with shards is rebalanced, and moves to no other topology"
    )]
    FromShards(String),
    /// Tables that are partitioned must be empty at first.
    #[error("`{0}` and `{1}` do not partition the same tables; bookings cannot move between them")]
    OtherMonths(String, String),
    /// What waits in a queue would have to be decided first.
    #[error("`{0}` decides by `{1}`; a service moves to such a topology, and not from it")]
    FromStrategy(String, StrategyKind),
    /// Another database, and no way for bookings to get there.
    #[error("`{0}` keeps bookings in `{1}`, and `{2}` in `{3}`; name one database in both")]
    OtherDatabase(String, String, String, String),
}

/// The servers of two topologies together, and the service as the second one wires it. Without a
/// queue, unless the second one decides by it: what is announced by two brokers is not what is asked.
///
/// # Errors
/// See [`MigrationError`].
pub fn both(from: &Topology, to: &Topology) -> Result<Topology, MigrationError> {
    let (one, other) = (from.name.clone(), to.name.clone());
    if one == other {
        return Err(MigrationError::Same(one));
    }
    if !from.service.shards.is_empty() {
        return Err(MigrationError::FromShards(one));
    }
    if let Some(strategy) = from.service.strategy {
        return Err(MigrationError::FromStrategy(one, strategy));
    }
    if from.service.months != to.service.months {
        return Err(MigrationError::OtherMonths(one, other));
    }
    let (old, new) = (from.service.database.clone(), to.service.database.clone());
    if to.service.shards.is_empty() && old != new {
        return Err(MigrationError::OtherDatabase(one, old, other, new));
    }
    let decides_by_queue = to.service.strategy.is_some_and(StrategyKind::needs_rabbitmq);
    let (from, mut to) = (from.clone().without_its_queue(), to.clone());
    if !decides_by_queue {
        to = to.without_its_queue();
    }
    let mut components = from.components;
    for component in &to.components {
        match components.iter().find(|it| it.name == component.name) {
            None => components.push(component.clone()),
            Some(same) if same == component => {}
            Some(_) => {
                let name = component.name.clone();
                return Err(MigrationError::OtherComponent(name, one, other));
            }
        }
    }
    let mut both = to;
    both.name = format!("{one}_to_{other}");
    both.summary = format!("{one}, and under load {other}");
    both.components = components;
    Ok(both)
}

/// Moves the service to the wiring of these endpoints. Answers with what moved.
pub(crate) async fn migrate(endpoints: &Endpoints, replicas: &Replicas) -> Result<String, String> {
    let rewire = async |endpoints: &Endpoints| {
        replicas.rewire(endpoints).await.map_err(|error| error.to_string())
    };
    let to = endpoints.wiring();
    if to.shards.is_empty() {
        rewire(endpoints).await?;
        let decides = to.strategy.map(|strategy| format!(", and {strategy} decides"));
        return Ok(format!("every process was replaced{}", decides.unwrap_or_default()));
    }
    // The old database is a shard, which has all doctors; then it is drained, and then left out.
    let old = replicas.first_wiring().database.clone();
    let shards = [old.clone()].into_iter().chain(to.shards.iter().cloned()).collect();
    let between = Wiring { database: old.clone(), shards, ..to.clone() };
    let between = endpoints.wired(between);
    rewire(&between).await?;
    let moved = drain(&between, &old).await?;
    rewire(endpoints).await?;
    Ok(format!("every process was replaced twice; {moved}"))
}

/// Moves all doctors of a shard to the others, as an operator does it: by a process of its own.
/// Answers with what it says of it.
pub(crate) async fn drain(endpoints: &Endpoints, shard: &str) -> Result<String, String> {
    let wiring = endpoints.wiring();
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command
        .args(["rebalance", "--drain", shard, "--shard-mode", wiring.shard_mode.name()])
        .args(["--copy-delay", &format!("{}ms", wiring.copy_delay_ms)])
        .env(SHARDS, endpoints.shards().ok_or("there are no shards")?)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = command.output().await.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&ended.stderr);
    let last = said.trim().lines().last().unwrap_or_default().to_owned();
    if ended.status.success() { Ok(last) } else { Err(last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(from: &str, to: &str) -> Result<Topology, MigrationError> {
        let find = |name| Topology::find(name).expect("built in");
        both(&find(from), &find(to))
    }

    #[test]
    fn the_servers_of_both_are_started_and_each_once() {
        let both = of("single", "sharded").expect("a migration");
        assert_eq!(both.servers(), "postgresql, redis, shard-1, shard-2 and shard-3");
        assert_eq!(both.service.shards.len(), 3);
        let both = of("single", "replicas").expect("a migration");
        assert_eq!(both.service.reads, ["standby-1", "standby-2"]);
        assert_eq!(both.block().stale_ms, Some(1_000));
        assert_eq!(both.service.queue, None);
        let both = of("single", "queued").expect("a migration");
        assert_eq!(both.servers(), "postgresql, redis and rabbitmq");
        assert_eq!(both.service.strategy, Some(StrategyKind::Queue));
    }

    #[test]
    fn what_bookings_cannot_follow_is_refused() {
        for (from, to, says) in [
            ("single", "single", "both `single`"),
            ("sharded", "single", "`sharded` has shards"),
            ("queued", "single", "`queued` decides by `queue`"),
            ("single", "partitioned", "do not partition the same tables"),
        ] {
            let refused = of(from, to).expect_err(to).to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
