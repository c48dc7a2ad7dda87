//! Finding the servers' programs, on PATH and in the places where distributions put them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{ComponentKind, EnvironmentError, components::postgresql};

/// A program that was found.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// The version that it prints; empty where it prints none without being started.
    pub version: String,
}

/// A program that a component runs.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) name: &'static str,
    /// The package that has it on Debian.
    pub(crate) package: &'static str,
    /// The least major version.
    pub(crate) least: u32,
    /// The argument that makes it print its version.
    pub(crate) asks: Option<&'static str>,
}

/// The programs of the native environment by what runs them, each found or with its remedy.
pub fn programs() -> Vec<(ComponentKind, Result<Program, EnvironmentError>)> {
    let programs_of = |kind: ComponentKind| kind.programs().iter().map(move |it| (kind, it.find()));
    ComponentKind::ALL.into_iter().flat_map(programs_of).collect()
}

/// pgbench, which lies beside PostgreSQL's own programs.
///
/// # Errors
/// PostgreSQL is not installed, or came without it.
pub fn pgbench() -> Result<PathBuf, EnvironmentError> {
    let path = postgresql::POSTGRES.find()?.path.with_file_name("pgbench");
    match path.is_file() {
        true => Ok(path),
        false => Err(EnvironmentError::MissingProgram {
            program: "pgbench".to_owned(),
            package: "postgresql-contrib",
        }),
    }
}

impl Wanted {
    /// # Errors
    /// It is missing or too old.
    pub(crate) fn find(&self) -> Result<Program, EnvironmentError> {
        let path = search(self.name).ok_or_else(|| EnvironmentError::MissingProgram {
            program: self.name.to_owned(),
            package: self.package,
        })?;
        let Some(question) = self.asks else {
            return Ok(Program { path, version: String::new() });
        };
        let answer = Command::new(&path).arg(question).output();
        let version = answer
            .map(|output| version_in(&String::from_utf8_lossy(&output.stdout)))
            .unwrap_or_default();
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < self.least) {
            return Err(EnvironmentError::TooOld {
                program: self.name.to_owned(),
                found: version,
                needed: self.least,
            });
        }
        Ok(Program { path, version })
    }
}

/// Where programs are looked for instead of everywhere, when it is set: directories with colons
/// between them.
const PROGRAMS: &str = "SLOTPROOF_PROGRAMS";

fn search(name: &str) -> Option<PathBuf> {
    let directories = match std::env::var_os(PROGRAMS) {
        Some(chosen) => std::env::split_paths(&chosen).collect(),
        None => usual_places(),
    };
    directories.into_iter().map(|directory| directory.join(name)).find(|path| path.is_file())
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = versioned("/usr/lib/postgresql", "bin");
    // Before PATH: Debian's /usr/sbin/rabbitmq-server insists on its own user and fails under any
    // other.
    places.push("/usr/lib/rabbitmq/bin".into());
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let others = [
        "/usr/local/pgsql/bin",
        "/opt/homebrew/opt/postgresql/bin",
        "/opt/homebrew/sbin",
        "/usr/local/bin",
        "/usr/bin",
        "/usr/sbin",
    ];
    places.extend(others.map(PathBuf::from));
    places
}

/// `parent/*/child`, the highest version first.
fn versioned(parent: &str, child: &str) -> Vec<PathBuf> {
    let version = |path: &Path| {
        path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok())
    };
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| version(path).is_some()).collect();
    found.sort_by_key(|path| std::cmp::Reverse(version(path)));
    found.into_iter().map(|path| path.join(child)).collect()
}

/// The first word that looks like a version: `15.18` in `postgres (PostgreSQL) 15.18`, `7.0.15` in
/// `Redis server v=7.0.15`.
fn version_in(text: &str) -> String {
    text.split_whitespace()
        .map(|word| word.trim_start_matches("v="))
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .map(|word| word.chars().take_while(|char| char.is_ascii_digit() || *char == '.').collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        assert_eq!(version_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), "15.18");
        assert_eq!(
            version_in("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64"),
            "7.0.15"
        );
        assert_eq!(version_in("no idea"), "");
    }
}
