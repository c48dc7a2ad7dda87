//! Finding the servers' programs, on PATH and in the places where distributions put them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use super::EnvironmentError;

/// A program that was found.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// As it says itself; empty where it cannot be asked without starting it.
    pub(crate) version: String,
}

/// Everything that the native environment runs.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) initdb: Program,
    pub(crate) postgres: Program,
    pub(crate) redis: Program,
    pub(crate) rabbitmq: Program,
    pub(crate) epmd: Program,
}

/// Programs, the packages that have them on Debian, and the least major version that they must
/// have.
struct Wanted {
    name: &'static str,
    package: &'static str,
    least: u32,
    asks: Option<&'static str>,
}

const INITDB: Wanted =
    Wanted { name: "initdb", package: "postgresql", least: 14, asks: Some("--version") };
const POSTGRES: Wanted =
    Wanted { name: "postgres", package: "postgresql", least: 14, asks: Some("--version") };
const REDIS: Wanted =
    Wanted { name: "redis-server", package: "redis-server", least: 6, asks: Some("--version") };
const RABBITMQ: Wanted =
    Wanted { name: "rabbitmq-server", package: "rabbitmq-server", least: 3, asks: None };
const EPMD: Wanted = Wanted { name: "epmd", package: "erlang-base", least: 0, asks: None };

/// # Errors
/// The first program that is missing or too old.
pub(crate) fn find_all() -> Result<Programs, EnvironmentError> {
    Ok(Programs {
        initdb: find(&INITDB)?,
        postgres: find(&POSTGRES)?,
        redis: find(&REDIS)?,
        rabbitmq: find(&RABBITMQ)?,
        epmd: find(&EPMD)?,
    })
}

/// Every program, found or not.
pub(crate) fn find_each() -> Vec<Result<Program, EnvironmentError>> {
    [&INITDB, &POSTGRES, &REDIS, &RABBITMQ, &EPMD].map(find).into()
}

fn find(wanted: &Wanted) -> Result<Program, EnvironmentError> {
    let path = search(wanted.name).ok_or_else(|| EnvironmentError::MissingProgram {
        program: wanted.name.to_owned(),
        package: wanted.package,
    })?;
    let Some(question) = wanted.asks else { return Ok(Program { path, version: String::new() }) };
    let answer = Command::new(&path).arg(question).output();
    let version = answer
        .map(|output| version_in(&String::from_utf8_lossy(&output.stdout)))
        .unwrap_or_default();
    if version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .is_some_and(|major| major < wanted.least)
    {
        return Err(EnvironmentError::TooOld {
            program: wanted.name.to_owned(),
            found: version,
            needed: wanted.least,
        });
    }
    Ok(Program { path, version })
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
