//! The `external` environment: servers that somebody else runs. Nothing is started, and each is
//! asked whether it is there.

use slotproof_reports::run_report::ServerBlock;

use super::{
    Endpoints, Environment, EnvironmentError, External, Held, Remote,
    probe::{self, Address},
};

pub(super) async fn find(external: &External) -> Result<Environment, EnvironmentError> {
    let mut servers: Vec<ServerBlock> = Vec::new();

    let address = own(&external.postgres_url, &["postgres", "postgresql"], 5432, external.remote)?;
    servers.push(answer("postgresql", &address, probe::postgres(&external.postgres_url).await)?);
    if let Some(url) = &external.redis_url {
        let address = own(url, &["redis"], 6379, external.remote)?;
        servers.push(answer("redis", &address, probe::redis(&address).await)?);
    }
    if let Some(url) = &external.amqp_url {
        let address = own(url, &["amqp"], 5672, external.remote)?;
        servers.push(answer("rabbitmq", &address, probe::rabbitmq(&address).await)?);
    }
    Ok(Environment {
        kind: "external",
        endpoints: Endpoints {
            postgres_url: external.postgres_url.clone(),
            redis_url: external.redis_url.clone(),
            amqp_url: external.amqp_url.clone(),
        },
        servers,
        fsync: None,
        durable_commit: None,
        processes: Vec::new(),
        held: Held::Nothing,
    })
}

/// Refuses what is not a URL of that kind, and what is not this machine unless it was allowed.
fn own(
    url: &str,
    schemes: &[&'static str],
    port: u16,
    remote: Remote,
) -> Result<Address, EnvironmentError> {
    let address = Address::parse(url, schemes, port).ok_or_else(|| EnvironmentError::BadUrl {
        text: url.rsplit_once('@').map_or(url, |(_, place)| place).to_owned(),
        scheme: schemes[0],
    })?;
    let loopback = address.host == "localhost"
        || address.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if loopback || remote == Remote::Allowed {
        Ok(address)
    } else {
        Err(EnvironmentError::NotLoopback { address: address.shown() })
    }
}

fn answer(
    name: &'static str,
    address: &Address,
    probed: Result<ServerBlock, String>,
) -> Result<ServerBlock, EnvironmentError> {
    probed.map_err(|reason| EnvironmentError::Unreachable {
        name,
        address: address.shown(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_loopback_needs_leave() {
        let url = "postgres://u:secret@192.0.2.7:5432/x";
        let refused =
            own(url, &["postgres"], 5432, Remote::Refused).expect_err("not ours").to_string();
        assert!(refused.contains("--allow-remote") && !refused.contains("secret"), "{refused}");
        assert!(own(url, &["postgres"], 5432, Remote::Allowed).is_ok());
        for local in
            ["postgres://u@localhost/x", "postgres://u@127.8.9.1/x", "postgres://u@[::1]/x"]
        {
            assert!(own(local, &["postgres"], 5432, Remote::Refused).is_ok(), "{local}");
        }
    }
}
