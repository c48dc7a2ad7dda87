//! The `containers` environment: private servers in containers, by testcontainers.
//!
//! Image names are settings. Without one, the image that `ci/images/build` made on this machine is
//! used if there is one, and the official image otherwise; which it was is part of the run's
//! environment.

use std::{fs, path::Path, process::Stdio, time::Duration};

use testcontainers::{
    ContainerAsync, GenericImage, ImageExt, TestcontainersError,
    core::{ContainerPort, WaitFor},
    runners::AsyncRunner,
};

use super::{
    Endpoints, Environment, EnvironmentError, Held, Images,
    guard::{Guard, Ward},
    probe::{self, Address},
};
use slotproof_reports::run_report::ServerBlock;

/// RabbitMQ takes up to 14 s on two cores; an image may have to be pulled first.
const START_WITHIN: Duration = Duration::from_secs(300);
/// From a started container to a server that answers.
const READY_WITHIN: Duration = Duration::from_secs(90);
const LABEL: &str = "org.slotproof.run";

/// An image that we know: where it comes from when nobody says.
struct Known {
    name: &'static str,
    local: &'static str,
    official: &'static str,
    port: u16,
}

const POSTGRES: Known = Known {
    name: "postgresql",
    local: "slotproof/postgres:15",
    official: "postgres:15",
    port: 5432,
};
const REDIS: Known =
    Known { name: "redis", local: "slotproof/redis:7.0", official: "redis:7.0", port: 6379 };
const RABBITMQ: Known = Known {
    name: "rabbitmq",
    local: "slotproof/rabbitmq:3.10",
    official: "rabbitmq:3.10",
    port: 5672,
};

/// Running containers.
pub(super) struct Containers {
    running: Vec<ContainerAsync<GenericImage>>,
    ward: Ward,
    guard: Guard,
}

impl Containers {
    /// Removes the containers.
    pub(super) async fn stop(mut self) {
        for container in self.running.drain(..) {
            if let Err(error) = container.rm().await {
                tracing::warn!(%error, "failed to remove a container");
            }
        }
        self.guard.release(&self.ward);
    }
}

pub(super) async fn start(
    images: &Images,
    directory: &Path,
    guard: &Guard,
) -> Result<Environment, EnvironmentError> {
    let run = uuid::Uuid::new_v4().simple().to_string();
    let ward = Ward::Label(format!("{LABEL}={run}"));
    guard.watch(&ward);
    let password = uuid::Uuid::new_v4().simple().to_string();
    let logs = directory.join("logs");
    fs::create_dir_all(&logs)
        .map_err(|source| EnvironmentError::Files { path: logs.display().to_string(), source })?;

    let postgres = Start {
        known: &POSTGRES,
        image: images.postgres.clone(),
        variables: vec![
            ("POSTGRES_USER", "slotproof".to_owned()),
            ("POSTGRES_PASSWORD", password.clone()),
            ("POSTGRES_DB", "slotproof".to_owned()),
        ],
        arguments: [
            "max_connections=300",
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
        ]
        .iter()
        .flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()])
        .collect(),
    };
    let redis = Start {
        known: &REDIS,
        image: images.redis.clone(),
        variables: Vec::new(),
        arguments: [
            "redis-server",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--requirepass",
            &password,
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    let rabbitmq = Start {
        known: &RABBITMQ,
        image: images.rabbitmq.clone(),
        variables: vec![
            ("RABBITMQ_DEFAULT_USER", "slotproof".to_owned()),
            ("RABBITMQ_DEFAULT_PASS", password.clone()),
        ],
        arguments: Vec::new(),
    };
    let address = |port, user: Option<&str>| Address {
        host: "127.0.0.1".to_owned(),
        port,
        user: user.map(str::to_owned),
        password: Some(password.clone()),
    };
    let postgres_url = |port| format!("postgres://slotproof:{password}@127.0.0.1:{port}/slotproof");
    // All three to their end, even when one fails: a start that is dropped half-way leaves a
    // container that nobody knows.
    let (postgres, redis, rabbitmq) = tokio::join!(
        postgres.run(&run, &logs, async |port| probe::postgres(&postgres_url(port)).await),
        redis.run(&run, &logs, async |port| probe::redis(&address(port, None)).await),
        rabbitmq.run(&run, &logs, async |port| probe::rabbitmq(&address(port, None)).await),
    );
    let (postgres, redis, rabbitmq) = (postgres?, redis?, rabbitmq?);
    Ok(Environment {
        kind: "containers",
        endpoints: Endpoints {
            postgres_url: postgres_url(postgres.port),
            redis_url: Some(format!("redis://:{password}@127.0.0.1:{}/", redis.port)),
            amqp_url: Some(format!("amqp://slotproof:{password}@127.0.0.1:{}/%2f", rabbitmq.port)),
        },
        servers: vec![postgres.block, redis.block, rabbitmq.block],
        fsync: None,
        durable_commit: None,
        processes: Vec::new(),
        held: Held::Containers(Containers {
            running: vec![postgres.container, redis.container, rabbitmq.container],
            ward,
            guard: guard.clone(),
        }),
    })
}

/// A container to start.
struct Start {
    known: &'static Known,
    image: Option<String>,
    variables: Vec<(&'static str, String)>,
    arguments: Vec<String>,
}

/// A container whose server answers.
struct Running {
    container: ContainerAsync<GenericImage>,
    port: u16,
    block: ServerBlock,
}

impl Start {
    async fn run(
        self,
        run: &str,
        logs: &Path,
        probe: impl AsyncFn(u16) -> Result<ServerBlock, String>,
    ) -> Result<Running, EnvironmentError> {
        let image = self.image.clone().unwrap_or_else(|| self.known.choose());
        let failed = |reason: String| EnvironmentError::Container {
            name: self.known.name,
            image: image.clone(),
            remedy: remedy(&reason),
            reason,
        };
        let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
        let mut request = GenericImage::new(name, tag)
            .with_exposed_port(ContainerPort::Tcp(self.known.port))
            .with_wait_for(WaitFor::Nothing)
            .with_startup_timeout(START_WITHIN)
            .with_label(LABEL, run)
            .with_cmd(self.arguments.clone());
        for (variable, value) in &self.variables {
            request = request.with_env_var(*variable, value);
        }
        let container = request
            .start()
            .await
            .map_err(|error: TestcontainersError| failed(error.to_string()))?;
        let port = container
            .get_host_port_ipv4(self.known.port)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let begun = std::time::Instant::now();
        loop {
            let reason = match probe(port).await {
                Ok(mut block) => {
                    block.settings.insert("image".to_owned(), image);
                    return Ok(Running { container, port, block });
                }
                Err(reason) => reason,
            };
            let running = container.is_running().await.unwrap_or(false);
            if !running || begun.elapsed() > READY_WITHIN {
                let log = logs.join(format!("{}.log", self.known.name));
                let _ = fs::write(&log, log_of(&container).await);
                let state =
                    if running { "it was not ready in time" } else { "it ended at its start" };
                return Err(failed(format!("{state} ({reason}); its log is {}", log.display())));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Known {
    fn choose(&self) -> String {
        if is_here(self.local) { self.local.to_owned() } else { self.official.to_owned() }
    }
}

/// The images that would be used, and whether each is on this machine.
pub(super) fn images() -> Vec<(String, bool)> {
    let chosen = [&POSTGRES, &REDIS, &RABBITMQ].map(Known::choose);
    chosen.map(|image| (image.clone(), is_here(&image))).into()
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
