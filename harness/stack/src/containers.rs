//! The `containers` environment: private servers in containers, by testcontainers.
//!
//! Image names are settings. Without one, the image that `ci/images/build` made on this machine is
//! used if there is one, and the official image otherwise; which it was is part of the run's
//! environment.

use std::{fs, path::Path, process::Stdio, time::Duration};

use slotproof_vocabulary::ServerBlock;
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt, TestcontainersError,
    core::{ContainerPort, WaitFor},
    runners::AsyncRunner,
};

use crate::{
    ComponentKind, Endpoints, EnvironmentError, EnvironmentKind, Images, Topology,
    components::Container,
    environment::{Environment, Held},
    guard::{Guard, Supervised},
};

/// RabbitMQ takes up to 14 s on two cores; an image may have to be pulled first.
const START_WITHIN: Duration = Duration::from_secs(300);
/// From a started container to a server that answers.
const READY_WITHIN: Duration = Duration::from_secs(90);
const LABEL: &str = "org.slotproof.run";

/// Running containers.
pub(crate) struct Containers {
    running: Vec<ContainerAsync<GenericImage>>,
    supervised: Supervised,
    guard: Guard,
}

impl Containers {
    /// Removes the containers.
    pub(crate) async fn stop(mut self) {
        for container in self.running.drain(..) {
            if let Err(error) = container.rm().await {
                tracing::warn!(%error, "failed to remove a container");
            }
        }
        self.guard.release(&self.supervised);
    }
}

/// Starts a container for every component.
pub(crate) async fn start(
    topology: &Topology,
    images: &Images,
    directory: &Path,
    guard: &Guard,
) -> Result<Environment, EnvironmentError> {
    let run = uuid::Uuid::new_v4().simple().to_string();
    let supervised = Supervised::Label(format!("{LABEL}={run}"));
    guard.watch(&supervised);
    let password = uuid::Uuid::new_v4().simple().to_string();
    let logs = directory.join("logs");
    fs::create_dir_all(&logs)
        .map_err(|source| EnvironmentError::Files { path: logs.display().to_string(), source })?;
    let starts = topology.components.iter().map(|component| {
        let start = Start {
            kind: component.kind,
            name: component.name.clone(),
            image: image_of(images, component.kind),
            recipe: component.kind.container(&password).expect("`can_be_had` was asked"),
            password: &password,
        };
        start.run(&run, &logs)
    });
    // All to their end, even when one fails: a start that is dropped half-way leaves a container
    // without an owner.
    let started = futures::future::join_all(starts).await;
    let started = started.into_iter().collect::<Result<Vec<_>, _>>()?;
    let urls = topology.components.iter().zip(&started);
    let urls = urls.map(|(component, one)| (component.name.clone(), one.url.clone())).collect();
    let (blocks, running) = started.into_iter().map(|one| (one.block, one.container)).unzip();
    Ok(Environment {
        kind: EnvironmentKind::Containers,
        endpoints: Endpoints::new(urls, topology.service.clone()),
        servers: blocks,
        fsync: None,
        durable_commit: None,
        processes: Vec::new(),
        held: Held::Containers(Containers { running, supervised, guard: guard.clone() }),
    })
}

fn image_of(images: &Images, kind: ComponentKind) -> Option<String> {
    match kind {
        ComponentKind::Postgresql => images.postgres.clone(),
        ComponentKind::PostgresqlStandby | ComponentKind::Pgbouncer => None,
        ComponentKind::Redis | ComponentKind::RedisCache => images.redis.clone(),
        ComponentKind::Rabbitmq => images.rabbitmq.clone(),
    }
}

/// A container to start.
struct Start<'a> {
    kind: ComponentKind,
    name: String,
    image: Option<String>,
    recipe: Container,
    password: &'a str,
}

/// A container whose server answers.
struct Running {
    container: ContainerAsync<GenericImage>,
    url: String,
    block: ServerBlock,
}

impl Start<'_> {
    async fn run(self, run: &str, logs: &Path) -> Result<Running, EnvironmentError> {
        let image = self.image.clone().unwrap_or_else(|| choose(&self.recipe));
        let failed = |reason: String| EnvironmentError::Container {
            name: self.name.clone(),
            image: image.clone(),
            remedy: remedy(&reason),
            reason,
        };
        let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
        let mut request = GenericImage::new(name, tag)
            .with_exposed_port(ContainerPort::Tcp(self.recipe.port))
            .with_wait_for(WaitFor::Nothing)
            .with_startup_timeout(START_WITHIN)
            .with_label(LABEL, run)
            .with_cmd(self.recipe.arguments.clone());
        for (variable, value) in &self.recipe.variables {
            request = request.with_env_var(*variable, value);
        }
        let container = request
            .start()
            .await
            .map_err(|error: TestcontainersError| failed(error.to_string()))?;
        let port = container
            .get_host_port_ipv4(self.recipe.port)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let url = (self.recipe.url)(self.password, port);
        let begun = std::time::Instant::now();
        loop {
            let reason = match self.kind.probe(&url).await {
                Ok(mut block) => {
                    block.settings.insert("image".to_owned(), image);
                    return Ok(Running { container, url, block });
                }
                Err(reason) => reason,
            };
            let running = container.is_running().await.unwrap_or(false);
            if !running || begun.elapsed() > READY_WITHIN {
                let log = logs.join(format!("{}.log", self.name));
                let _ = fs::write(&log, log_of(&container).await);
                let state =
                    if running { "it was not ready in time" } else { "it ended at its start" };
                return Err(failed(format!("{state} ({reason}); its log is {}", log.display())));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The local image if this machine has it, else the official one.
fn choose(container: &Container) -> String {
    if is_here(container.local) {
        container.local.to_owned()
    } else {
        container.official.to_owned()
    }
}

/// The images that would be used, and whether each is on this machine.
pub(crate) fn images() -> Vec<(String, bool)> {
    let containers = ComponentKind::ALL.into_iter().filter_map(|kind| kind.container(""));
    let mut chosen: Vec<String> = containers.map(|container| choose(&container)).collect();
    chosen.dedup();
    chosen.into_iter().map(|image| (image.clone(), is_here(&image))).collect()
}

fn is_here(image: &str) -> bool {
    let mut inspect = std::process::Command::new("docker");
    let inspected = inspect
        .args(["image", "inspect", image])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    inspected.is_ok_and(|status| status.success())
}

async fn log_of(container: &ContainerAsync<GenericImage>) -> Vec<u8> {
    let mut log = container.stdout_to_vec().await.unwrap_or_default();
    log.extend(container.stderr_to_vec().await.unwrap_or_default());
    log
}

fn remedy(reason: &str) -> String {
    let text = if reason.contains("No such image")
        || reason.contains("pull")
        || reason.contains("registry")
    {
        "where no registry can be reached, ci/images/build makes local images from the distribution's packages"
    } else if reason.contains("connect") || reason.contains("client") || reason.contains("socket") {
        "is a Docker engine running, and may you use it? try `docker info`"
    } else {
        "`docker logs` of a container of this image may say more"
    };
    text.to_owned()
}
