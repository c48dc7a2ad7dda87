//! RabbitMQ: its own node name, its own port mapper, its own directories.
//!
//! Erlang nodes of one machine find each other through `epmd`, which a node starts as a daemon when
//! there is none: that daemon would outlive the run and be shared with strangers. So a private one
//! is started first, on a port of its own.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use slotproof_vocabulary::ServerBlock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Container, Started};
use crate::{
    EnvironmentError,
    address::{Address, within},
    data::{DataDirectory, Ends, is_plain},
    guard::Guard,
    native::{free_port, password},
    process::Process,
    programs::Wanted,
};

/// The programs of a native node.
pub(crate) const RABBITMQ: Wanted =
    Wanted { name: "rabbitmq-server", package: "rabbitmq-server", least: 3, asks: None };
pub(crate) const EPMD: Wanted =
    Wanted { name: "epmd", package: "erlang-base", least: 0, asks: None };

/// URL schemes, and the port that a URL means unless it says one.
pub(crate) const SCHEMES: &[&str] = &["amqp"];
pub(crate) const PORT: u16 = 5672;

/// A cold Erlang on a busy machine needs most of this.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Starts the port mapper and a private node.
pub(crate) async fn start(
    name: &str,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<Started, EnvironmentError> {
    let directory = data.fresh(name)?;
    let (port, distribution_port, epmd_port) = (free_port()?, free_port()?, free_port()?);
    let password = password();

    let mut command = data.command(&EPMD.find()?.path);
    command.args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"]);
    let ends = Ends { stop: Signal::TERM, abandon: Signal::KILL };
    let epmd = Process::start(data.launch("epmd", command, ends), guard)?;

    let settings = directory.join("rabbitmq.conf");
    let text = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\ndefault_user = slotproof\ndefault_pass = {password}\nlog.console = true\nlog.file = false\ndisk_free_limit.absolute = 50MB\n"
    );
    data.write(&settings, &text)?;
    data.write(&directory.join("enabled_plugins"), "[].\n")?;

    let installed = RABBITMQ.find()?.path;
    let home = data.fresh(&format!("{name}/home"))?;
    let program = match Installation::of(&installed).filter(|_| is_plain(&home)) {
        Some(installation) => {
            installation.link(&home, &data.fresh(&format!("{name}/home/plugins"))?)?;
            home.join(PROGRAM)
        }
        None => installed,
    };
    let mut command = data.command(&program);
    command
        .env("HOME", &directory)
        .env("RABBITMQ_NODENAME", format!("slotproof-{port}@localhost"))
        .env("RABBITMQ_DIST_PORT", distribution_port.to_string())
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_CONFIG_FILE", &settings)
        .env("RABBITMQ_CONF_ENV_FILE", directory.join("none"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("enabled_plugins"))
        .env("RABBITMQ_MNESIA_BASE", directory.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", &directory)
        .env("RABBITMQ_PID_FILE", directory.join("pid"))
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
        );
    // Its orderly stop takes seconds and saves data that is about to be deleted.
    let ends = Ends { stop: Signal::KILL, abandon: Signal::KILL };
    let mut process = Process::start(data.launch(name, command, ends), guard)?;
    let address = Address { host: "127.0.0.1".to_owned(), port, user: None, password: None };
    let block = process.wait_ready(READY_WITHIN, || probe(&address)).await?;
    Ok(Started {
        // The node last: it is the one that is watched, restarted, and stopped first.
        processes: vec![epmd, process],
        block,
        url: format!("amqp://slotproof:{password}@127.0.0.1:{port}/%2f"),
    })
}

/// The program, in the home of an installation.
const PROGRAM: &str = "sbin/rabbitmq-server";

/// A RabbitMQ whose directories are where its own scripts expect them.
#[derive(Debug, PartialEq, Eq)]
struct Installation {
    home: PathBuf,
    /// The directories of the Erlang applications without which a node does not start.
    applications: Vec<PathBuf>,
}

impl Installation {
    /// `None`: it is laid out in another way, and is started as it is.
    fn of(program: &Path) -> Option<Self> {
        let home = program.canonicalize().ok()?.parent()?.parent()?.to_owned();
        if !home.join(PROGRAM).is_file() || !home.join("escript").is_dir() {
            return None;
        }
        let mut installed: BTreeMap<String, PathBuf> = fs::read_dir(home.join("plugins"))
            .ok()?
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let (application, _version) = path.file_name()?.to_str()?.split_once('-')?;
                Some((application.to_owned(), path))
            })
            .collect();
        let mut wanted = vec!["rabbit".to_owned(), "rabbitmq_prelaunch".to_owned()];
        if !wanted.iter().all(|application| installed.contains_key(application)) {
            return None;
        }
        let mut needed = Vec::new();
        while let Some(application) = wanted.pop() {
            // Erlang's own lie elsewhere.
            let Some(directory) = installed.remove(&application) else { continue };
            let resource = directory.join("ebin").join(format!("{application}.app"));
            wanted.extend(applications(&fs::read_to_string(resource).ok()?)?);
            needed.push(directory);
        }
        Some(Self { home, applications: needed })
    }

    /// Links it into `home` and `plugins` without the fifty plugins that no node of ours enables:
    /// Erlang looks for each module in the directory of each of them. A node starts in two thirds of
    /// the time: 4.3 to 5.4 s instead of 7.1 to 9.4 s on two slow cores.
    fn link(&self, home: &Path, plugins: &Path) -> Result<(), EnvironmentError> {
        let beside = ["sbin", "escript"].map(|name| (self.home.join(name), home.join(name)));
        let needed = self.applications.iter().filter_map(|application| {
            Some((application.clone(), plugins.join(application.file_name()?)))
        });
        for (target, link) in beside.into_iter().chain(needed) {
            symlink(target, &link).map_err(|source| EnvironmentError::Files {
                path: link.display().to_string(),
                source,
            })?;
        }
        Ok(())
    }
}

/// What an application's resource file says that it needs: `{applications, [kernel, 'ra']}`.
fn applications(resource: &str) -> Option<Vec<String>> {
    let (_, list) = resource.split_once("{applications,")?;
    let (list, _) = list.trim_start().strip_prefix('[')?.split_once(']')?;
    let names = list.split(',').map(|name| name.trim().trim_matches('\'').to_owned());
    Some(names.filter(|name| !name.is_empty()).collect())
}

/// The same node in a container.
pub(crate) fn container(password: &str) -> Container {
    Container {
        local: "slotproof/rabbitmq:3.10",
        official: "rabbitmq:3.10",
        port: PORT,
        variables: vec![
            ("RABBITMQ_DEFAULT_USER", "slotproof".to_owned()),
            ("RABBITMQ_DEFAULT_PASS", password.to_owned()),
        ],
        arguments: Vec::new(),
        url: |password, port| format!("amqp://slotproof:{password}@127.0.0.1:{port}/%2f"),
    }
}

/// Speaks AMQP 0-9-1 up to the server's first frame, `connection.start`, which carries its version.
pub(crate) async fn probe(address: &Address) -> Result<ServerBlock, String> {
    within(async {
        let mut stream = address.connect().await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await.map_err(|error| error.to_string())?;
        let mut header = [0; 7];
        stream.read_exact(&mut header).await.map_err(|error| error.to_string())?;
        let [kind, _, _, length @ ..] = header;
        let length = u32::from_be_bytes(length);
        if kind != 1 || length > 64 * 1024 {
            return Err("it does not speak AMQP 0-9-1".to_owned());
        }
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.map_err(|error| error.to_string())?;
        let version = amqp_version(&payload).ok_or("its first frame names no version")?;
        Ok(ServerBlock { name: "rabbitmq".to_owned(), version, settings: BTreeMap::new() })
    })
    .await
}

/// The long string behind the short string `version` in the table of server properties.
fn amqp_version(payload: &[u8]) -> Option<String> {
    let marker = b"\x07versionS";
    let at = payload.windows(marker.len()).position(|window| window == marker)? + marker.len();
    let length = u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?) as usize;
    Some(String::from_utf8_lossy(payload.get(at + 4..at + 4 + length)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_application_needs_is_read_from_its_resource_file() {
        let resource = "{application, 'rabbit', [\n\t{modules, [a,b]},\n\t\
                        {applications, [kernel,'ra', \n rabbit_common]},\n\t{env, []}\n]}.";
        assert_eq!(
            applications(resource),
            Some(vec!["kernel".to_owned(), "ra".to_owned(), "rabbit_common".to_owned()])
        );
        assert_eq!(applications("{applications, []}"), Some(Vec::new()));
        assert_eq!(applications("{application, x, [{modules, []}]}"), None);
    }

    #[test]
    fn a_node_is_given_what_its_applications_need_and_no_other_plugin() {
        let directory = tempfile::tempdir().expect("a directory");
        let (installed, ours) = (directory.path().join("installed"), directory.path().join("ours"));
        let plugins = ours.join("plugins");
        for path in [&installed.join("sbin"), &plugins] {
            fs::create_dir_all(path).expect("it can be made");
        }
        let program = installed.join(PROGRAM);
        fs::write(&program, "the program").expect("it can be written");
        let install = |application: &str, needs: &str| {
            let ebin = installed.join(format!("plugins/{application}-3.10.8-rc.1/ebin"));
            fs::create_dir_all(&ebin).expect("it can be made");
            let resource = format!("{{application, x, [{{applications, [{needs}]}}]}}.");
            fs::write(ebin.join(format!("{application}.app")), resource)
                .expect("it can be written");
        };
        install("rabbit", "kernel,ra");
        install("ra", "aten,rabbit");
        install("aten", "kernel");
        install("rabbitmq_management", "rabbit,cowboy");
        install("rabbitmq_prelaunch", "kernel");
        assert_eq!(Installation::of(&program), None, "its scripts are elsewhere");

        fs::create_dir(installed.join("escript")).expect("it can be made");
        let installation = Installation::of(&program).expect("all are there");
        installation.link(&ours, &plugins).expect("it is linked");
        assert_eq!(fs::read_to_string(ours.join(PROGRAM)).expect("it is there"), "the program");
        let mut linked: Vec<_> = fs::read_dir(plugins)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("plain"))
            .collect();
        linked.sort();
        let names = ["aten", "ra", "rabbit", "rabbitmq_prelaunch"];
        assert_eq!(linked, names.map(|name| format!("{name}-3.10.8-rc.1")));

        fs::remove_dir_all(installed.join("plugins/rabbitmq_prelaunch-3.10.8-rc.1"))
            .expect("it can be removed");
        assert_eq!(Installation::of(&program), None, "half of it");
    }

    #[test]
    fn the_version_is_found_in_a_connection_start_frame() {
        let payload = b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x20\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8";
        assert_eq!(amqp_version(payload).as_deref(), Some("3.10.8"));
        assert_eq!(amqp_version(b"\x07versionS\x00\x00\x00\xff3"), None, "cut short");
    }
}
