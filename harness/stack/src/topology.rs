//! A topology: the components of a deployment and how the service is wired to them, as data.
//!
//! A topology is a TOML file with strict keys; the built-in ones lie in `topologies/`.

use serde::Deserialize;

/// The components of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Its name on the command line.
    pub name: String,
    /// What it is, in one line.
    pub summary: String,
    /// The servers.
    pub components: Vec<Component>,
    /// Which component the service uses for what.
    pub service: Wiring,
}

/// A server of a topology.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its name: endpoints, logs, faults and CPU figures go by it.
    pub name: String,
    /// What it runs.
    pub kind: ComponentKind,
}

/// What a component runs. Each kind has a page in `components/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// A PostgreSQL server.
    Postgresql,
    /// A Redis server.
    Redis,
    /// A RabbitMQ node.
    Rabbitmq,
}

impl ComponentKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Postgresql, Self::Redis, Self::Rabbitmq];

    /// The name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Redis => "redis",
            Self::Rabbitmq => "rabbitmq",
        }
    }
}

/// Names of the components that the service uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wiring {
    /// Holds slots and bookings; a `postgresql`.
    pub database: String,
    /// Holds the locks of the Redis strategies; a `redis`.
    pub locks: Option<String>,
    /// Holds queued requests and announcements; a `rabbitmq`.
    pub queue: Option<String>,
}

/// Why a file is not a topology.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// It does not parse.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// Two components have one name.
    #[error("two components are named `{0}`; give each a name of its own")]
    DuplicateName(String),
    /// The wiring names a component that is missing or is of another kind.
    #[error("[service] {role} = \"{name}\": no component of kind `{kind}` has this name", kind = .kind.name())]
    Unwired {
        /// The key of the wiring.
        role: &'static str,
        /// The name that it gives.
        name: String,
        /// The kind that the role needs.
        kind: ComponentKind,
    },
}

impl Topology {
    /// The built-in topology `single`: phase 1 of the design.
    pub fn single() -> Self {
        Self::parse(include_str!("../topologies/single.toml")).expect("a test parses it")
    }

    /// The built-in topology `without_queue`: what `replay` needs.
    pub fn without_queue() -> Self {
        Self::parse(include_str!("../topologies/without_queue.toml")).expect("a test parses it")
    }

    /// Reads a topology file.
    ///
    /// # Errors
    /// See [`TopologyError`].
    pub fn parse(text: &str) -> Result<Self, TopologyError> {
        let topology: Self = toml::from_str(text)?;
        topology.validate()?;
        Ok(topology)
    }

    fn validate(&self) -> Result<(), TopologyError> {
        for (index, component) in self.components.iter().enumerate() {
            if self.components[..index].iter().any(|other| other.name == component.name) {
                return Err(TopologyError::DuplicateName(component.name.clone()));
            }
        }
        let wires = [
            ("database", Some(&self.service.database), ComponentKind::Postgresql),
            ("locks", self.service.locks.as_ref(), ComponentKind::Redis),
            ("queue", self.service.queue.as_ref(), ComponentKind::Rabbitmq),
        ];
        for (role, name, kind) in wires {
            let Some(name) = name else { continue };
            let fits = |component: &Component| component.name == *name && component.kind == kind;
            if !self.components.iter().any(fits) {
                return Err(TopologyError::Unwired { role, name: name.clone(), kind });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_topology_has_one_server_of_each_kind() {
        let kinds: Vec<_> =
            Topology::single().components.iter().map(|component| component.kind).collect();
        assert_eq!(kinds, ComponentKind::ALL);
    }

    #[test]
    fn the_topology_without_a_queue_is_the_other_one_without_rabbitmq() {
        let (mut single, without) = (Topology::single(), Topology::without_queue());
        single.components.retain(|component| component.kind != ComponentKind::Rabbitmq);
        assert_eq!(without.components, single.components);
        assert_eq!(without.service, Wiring { queue: None, ..single.service });
    }

    #[test]
    fn a_topology_that_cannot_be_wired_is_refused_by_name() {
        let refused = |text: &str| Topology::parse(text).expect_err(text).to_string();
        let head = "name = \"t\"\nsummary = \"s\"\n";
        let component = |name: &str, kind: &str| {
            format!("[[components]]\nname = \"{name}\"\nkind = \"{kind}\"\n")
        };
        let service = "[service]\ndatabase = \"db\"\n";
        let twice = format!("{head}{0}{0}{service}", component("db", "postgresql"));
        assert!(refused(&twice).contains("two components are named `db`"));
        let other = format!("{head}{}{service}", component("db", "redis"));
        assert!(refused(&other).contains("no component of kind `postgresql`"));
        let unknown = format!("{head}{}{service}", component("db", "oracle"));
        assert!(refused(&unknown).contains("oracle"));
        let strict = format!("{head}colour = 1\n{}{service}", component("db", "postgresql"));
        assert!(refused(&strict).contains("colour"));
    }
}
