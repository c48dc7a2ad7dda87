//! A private RabbitMQ: its own node name, its own port mapper, its own directories.
//!
//! Erlang nodes of one machine find each other through `epmd`, which a node starts as a daemon when
//! there is none: one that would outlive us and be shared with strangers. So we start our own, on a
//! port of its own, before the node asks for it.

use std::time::Duration;

use rustix::process::Signal;

use super::{DataDirectory, EnvironmentError, Started, free_port, password, programs::Programs};
use crate::environment::{
    guard::Guard,
    probe::{self, Address},
    process::{Launch, Process, Stdout},
};

/// A cold Erlang on a busy machine needs most of this.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// The port mapper and the node.
pub(super) async fn start(
    programs: &Programs,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<(Process, Started), EnvironmentError> {
    let directory = data.fresh("rabbitmq")?;
    let (port, distribution_port, epmd_port) = (free_port()?, free_port()?, free_port()?);
    let password = password();

    let mut command = data.command(&programs.epmd.path);
    command.args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"]);
    let epmd = Process::start(
        Launch {
            name: "epmd",
            command,
            log: data.log("epmd"),
            stdout: Stdout::ToLog,
            stop: Signal::TERM,
            abandon: Signal::KILL,
        },
        guard,
    )?;

    let settings = directory.join("rabbitmq.conf");
    let text = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\ndefault_user = slotproof\ndefault_pass = {password}\nlog.console = true\nlog.file = false\ndisk_free_limit.absolute = 50MB\n"
    );
    data.write(&settings, &text)?;
    data.write(&directory.join("enabled_plugins"), "[].\n")?;

    let mut command = data.command(&programs.rabbitmq.path);
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
    let process = Process::start(
        Launch {
            name: "rabbitmq",
            command,
            log: data.log("rabbitmq"),
            stdout: Stdout::ToLog,
            // Its orderly stop takes seconds and saves data that is about to be deleted.
            stop: Signal::KILL,
            abandon: Signal::KILL,
        },
        guard,
    );
    let mut process = process?;
    let address = Address { host: "127.0.0.1".to_owned(), port, user: None, password: None };
    let block = process.wait_ready(READY_WITHIN, || probe::rabbitmq(&address)).await?;
    Ok((
        epmd,
        Started {
            process,
            block,
            url: format!("amqp://slotproof:{password}@127.0.0.1:{port}/%2f"),
        },
    ))
}
