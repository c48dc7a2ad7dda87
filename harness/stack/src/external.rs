//! The `external` environment: servers that somebody else runs. Nothing is started; each is asked
//! whether it answers.

use std::collections::BTreeMap;

use crate::{
    ComponentKind, Endpoints, EnvironmentError, EnvironmentKind, External, Remote, Topology,
    address::Address,
    environment::{Environment, Held},
};

/// Finds the server of every component that has a URL.
pub(crate) async fn find(
    topology: &Topology,
    external: &External,
) -> Result<Environment, EnvironmentError> {
    let mut servers = Vec::new();
    let mut urls = BTreeMap::new();
    for component in &topology.components {
        let Some(url) = url_of(external, component.kind) else { continue };
        let address = own(url, component.kind, external.remote)?;
        let block =
            component.kind.probe(url).await.map_err(|reason| EnvironmentError::Unreachable {
                name: component.name.clone(),
                address: address.shown(),
                reason,
            })?;
        servers.push(block);
        urls.insert(component.name.clone(), url.to_owned());
    }
    Ok(Environment {
        kind: EnvironmentKind::External,
        endpoints: Endpoints::new(urls, topology.service.clone()),
        servers,
        fsync: None,
        durable_commit: None,
        processes: Vec::new(),
        held: Held::Nothing,
    })
}

fn url_of(external: &External, kind: ComponentKind) -> Option<&str> {
    match kind {
        ComponentKind::Postgresql => Some(&external.postgres_url),
        ComponentKind::PostgresqlStandby | ComponentKind::Pgbouncer | ComponentKind::RedisCache => {
            None
        }
        ComponentKind::Redis => external.redis_url.as_deref(),
        ComponentKind::Rabbitmq => external.amqp_url.as_deref(),
    }
}

/// Refuses what is not a URL of that kind, and what is not this machine unless it was allowed.
fn own(url: &str, kind: ComponentKind, remote: Remote) -> Result<Address, EnvironmentError> {
    let address = kind.address(url).ok_or_else(|| EnvironmentError::BadUrl {
        text: url.rsplit_once('@').map_or(url, |(_, place)| place).to_owned(),
        scheme: kind.scheme(),
    })?;
    let loopback = address.host == "localhost"
        || address.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if loopback || remote == Remote::Allowed {
        Ok(address)
    } else {
        Err(EnvironmentError::NotLoopback { address: address.shown() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_loopback_needs_leave() {
        let url = "postgres://u:secret@192.0.2.7:5432/x";
        let refused =
            own(url, ComponentKind::Postgresql, Remote::Refused).expect_err("not ours").to_string();
        assert!(refused.contains("--allow-remote") && !refused.contains("secret"), "{refused}");
        assert!(own(url, ComponentKind::Postgresql, Remote::Allowed).is_ok());
        for local in
            ["postgres://u@localhost/x", "postgres://u@127.8.9.1/x", "postgres://u@[::1]/x"]
        {
            assert!(own(local, ComponentKind::Postgresql, Remote::Refused).is_ok(), "{local}");
        }
    }
}
