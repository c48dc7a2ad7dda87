//! Every error of the crate's interface, in one snapshot, so that a change of wording is one diff.

use std::{net::SocketAddr, path::Path, time::Duration};

use slotproof_target_service::{ConfigError, Policy, StartError, queue::QueueError};
use slotproof_vocabulary::StrategyKind;

fn refused() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::AddrInUse)
}

#[test]
fn every_error_says_what_failed_and_what_to_do() {
    let address = SocketAddr::from(([10, 0, 0, 1], 8080));
    let config = [
        ConfigError::HoldTooShort,
        ConfigError::HoldTooLong,
        ConfigError::LockTtlTooShort,
        ConfigError::NoConnections,
        ConfigError::NoTries,
        ConfigError::DirectorNotPrivate(address),
    ];
    let start = [
        StartError::Listen { address, source: refused() },
        StartError::Connect(sqlx::Error::PoolTimedOut),
        StartError::MixesAnswers("prepared statement \"sqlx_s_1\" already exists".to_owned()),
        StartError::NotOurs("it has tables called bookings, doctors".to_owned()),
        StartError::Needs { strategy: StrategyKind::RedisLock, needed: "Redis" },
        StartError::Migrate(sqlx::migrate::MigrateError::Dirty(3)),
    ];
    let queue = [
        QueueError::TimedOut { what: "accept the connection", limit: Duration::from_secs(10) },
        QueueError::NotTaken("Nack(None)".to_owned()),
        QueueError::Database(sqlx::Error::PoolTimedOut),
    ];
    let policy = Policy::load(Path::new("no/such/policy.toml")).expect_err("no such file");

    let mut texts = Vec::new();
    for error in config {
        texts.push(format!("--{}: {error}", error.setting()));
    }
    texts.extend(start.iter().map(ToString::to_string));
    texts.extend(queue.iter().map(ToString::to_string));
    texts.push(policy.to_string());
    insta::assert_snapshot!(texts.join("\n"));
}
