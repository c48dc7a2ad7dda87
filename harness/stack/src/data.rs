//! Where the private servers keep their data, and who owns it.

use std::{
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use tokio::process::Command;

use crate::{
    EnvironmentError,
    process::{Launch, Stdout},
};

/// Users that the servers may run as when we are root, best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A directory for data and one for logs. The data is deleted when this is dropped; the logs stay.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    logs: PathBuf,
    owner: Option<Owner>,
}

/// The signals by which a server ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// In order.
    pub(crate) stop: Signal,
    /// At once.
    pub(crate) abandon: Signal,
}

/// Whom the servers run as when we are root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl DataDirectory {
    /// Makes `servers` under `run`, or, where the servers' user cannot reach that, under the
    /// system's temporary directory.
    pub(crate) fn make(run: &Path) -> Result<Self, EnvironmentError> {
        let owner = if rustix::process::getuid().is_root() { Some(unprivileged()?) } else { None };
        let inside = run.join("servers");
        let path = match owner {
            Some(owner) if !reachable(run, owner) => {
                std::env::temp_dir().join(format!("slotproof-{}", uuid::Uuid::new_v4().simple()))
            }
            _ => inside,
        };
        let data = Self { path, logs: run.join("logs"), owner };
        data.make_owned(&data.path)?;
        fs::create_dir_all(&data.logs).map_err(|source| files(&data.logs, source))?;
        Ok(data)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The log of a server.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// A fresh directory that belongs to the servers' user and to nobody else.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf, EnvironmentError> {
        let path = self.path.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|source| files(&path, source))?;
        }
        self.make_owned(&path)?;
        Ok(path)
    }

    /// A file that only the servers' user can read.
    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<(), EnvironmentError> {
        fs::write(path, text).map_err(|source| files(path, source))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(|source| files(path, source))?;
        self.own(path)
    }

    /// A command that runs as the servers' user, in a directory that this user can read, with
    /// nothing of our environment but the path.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.path)
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", &self.path);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        command
    }

    /// How to start a server, or a program that prepares one: it writes to a log of its own.
    pub(crate) fn launch<'a>(&self, name: &'a str, command: Command, ends: Ends) -> Launch<'a> {
        Launch {
            name,
            command,
            log: self.log(name),
            stdout: Stdout::ToLog,
            stop: ends.stop,
            abandon: ends.abandon,
        }
    }

    fn make_owned(&self, path: &Path) -> Result<(), EnvironmentError> {
        fs::create_dir_all(path).map_err(|source| files(path, source))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|source| files(path, source))?;
        self.own(path)
    }

    fn own(&self, path: &Path) -> Result<(), EnvironmentError> {
        match self.owner {
            Some(owner) => {
                chown(path, Some(owner.uid), Some(owner.gid)).map_err(|source| files(path, source))
            }
            None => Ok(()),
        }
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "failed to delete the servers' data");
        }
    }
}

fn files(path: &Path, source: std::io::Error) -> EnvironmentError {
    EnvironmentError::Files { path: path.display().to_string(), source }
}

fn unprivileged() -> Result<Owner, EnvironmentError> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    UNPRIVILEGED
        .iter()
        .find_map(|name| find_user(&passwd, name))
        .ok_or(EnvironmentError::NoUnprivilegedUser)
}

fn find_user(passwd: &str, name: &str) -> Option<Owner> {
    let mut fields =
        passwd.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    Some(Owner { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        .filter(|owner| owner.uid != 0)
}

/// Whether a path has no surprises in it for PostgreSQL and Erlang, which put paths into messages,
/// lists and scripts.
pub(crate) fn is_plain(path: &Path) -> bool {
    path.as_os_str()
        .as_bytes()
        .iter()
        .all(|byte| byte.is_ascii_graphic() && !b"'\"\\$`:".contains(byte))
}

/// Whether every directory on the way to `path` lets `owner` through.
fn reachable(path: &Path, owner: Owner) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    is_plain(&path)
        && path.ancestors().all(|directory| {
            fs::metadata(directory).is_ok_and(|metadata| {
                let execute = match metadata.uid() {
                    uid if uid == owner.uid => 0o100,
                    _ if metadata.gid() == owner.gid => 0o010,
                    _ => 0o001,
                };
                metadata.mode() & execute != 0
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_root_is_nobody() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\nzero:x:0:0::/:/bin/sh\n";
        assert_eq!(find_user(passwd, "postgres"), Some(Owner { uid: 101, gid: 104 }));
        assert_eq!(find_user(passwd, "nobody"), None);
        assert_eq!(find_user(passwd, "zero"), None, "another name for root is root");
    }

    #[test]
    fn a_path_that_a_script_would_read_as_two_is_not_plain() {
        assert!(is_plain(Path::new("/tmp/runs/2026-11-28")));
        for path in ["/tmp/my runs", "/tmp/a:b", "/tmp/$HOME", "/tmp/l\u{e4}ufe"] {
            assert!(!is_plain(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_closed_directory_on_the_way_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).expect("it can be made");
        let stranger = Owner { uid: 65_534, gid: 65_534 };
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700))
            .expect("it is ours");
        assert!(!reachable(&inner, stranger));
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
            .expect("it is ours");
        assert!(reachable(&inner, stranger));
    }
}
