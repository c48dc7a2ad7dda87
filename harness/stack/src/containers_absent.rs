//! Stands in for the `containers` environment in a build without the feature `containers`.

use std::path::Path;

use crate::{Environment, EnvironmentError, Images, Topology, guard::Guard};

/// No container was ever started.
pub(crate) enum Containers {}

impl Containers {
    pub(crate) async fn stop(self) {
        match self {}
    }
}

/// # Errors
/// Always: the remedy is another build.
pub(crate) async fn start(
    _: &Topology,
    _: &Images,
    _: &Path,
    _: &Guard,
) -> Result<Environment, EnvironmentError> {
    Err(EnvironmentError::WithoutContainers)
}

pub(crate) fn images() -> Vec<(String, bool)> {
    Vec::new()
}
