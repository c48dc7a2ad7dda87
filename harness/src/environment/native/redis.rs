//! A private Redis: durable, on a loopback port, with a password that nobody else knows.

use std::time::Duration;

use rustix::process::Signal;

use super::{DataDirectory, EnvironmentError, Started, free_port, password, programs::Programs};
use crate::environment::{
    guard::Guard,
    probe::{self, Address},
    process::{Launch, Process, Stdout},
};

const READY_WITHIN: Duration = Duration::from_secs(20);

pub(super) async fn start(
    programs: &Programs,
    data: &DataDirectory,
    guard: &Guard,
) -> Result<Started, EnvironmentError> {
    let directory = data.fresh("redis")?;
    let (port, password) = (free_port()?, password());
    // In a file, because the arguments of a process can be read by everybody.
    let settings = directory.join("redis.conf");
    let text = format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {}\nappendonly yes\nappendfsync always\n",
        directory.display()
    );
    data.write(&settings, &text)?;
    let mut command = data.command(&programs.redis.path);
    command.arg(&settings);
    let mut process = Process::start(
        Launch {
            name: "redis",
            command,
            log: data.log("redis"),
            stdout: Stdout::ToLog,
            stop: Signal::TERM,
            abandon: Signal::KILL,
        },
        guard,
    )?;
    let address = Address {
        host: "127.0.0.1".to_owned(),
        port,
        user: None,
        password: Some(password.clone()),
    };
    let block = process.wait_ready(READY_WITHIN, || probe::redis(&address)).await?;
    Ok(Started { process, block, url: format!("redis://:{password}@127.0.0.1:{port}/") })
}
