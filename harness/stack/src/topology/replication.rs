//! What a commit on a primary waits for.

use serde::Deserialize;

/// Settings of the replication from the service's database to its standbys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replication {
    /// Which standbys a commit waits for.
    #[serde(default)]
    pub synchronous: Synchronous,
}

/// Which standbys a commit waits for, until they have its log on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Synchronous {
    /// None: what a crash of the primary loses is lost.
    #[default]
    None,
    /// So many, whichever they are.
    Any(u32),
    /// So many, in the order of the file.
    First(u32),
}

impl TryFrom<String> for Synchronous {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "synchronous = {text:?} is no setting; write \"none\", \"any 1\" or \"first 2\""
            )
        };
        if text == "none" {
            return Ok(Self::None);
        }
        let (which, number) = text.split_once(' ').ok_or_else(wrong)?;
        let number: u32 = number.parse().map_err(|_| wrong())?;
        match which {
            "any" if number > 0 => Ok(Self::Any(number)),
            "first" if number > 0 => Ok(Self::First(number)),
            _ => Err(wrong()),
        }
    }
}

impl Synchronous {
    /// How many standbys a commit waits for.
    pub fn standbys(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Any(number) | Self::First(number) => number,
        }
    }

    /// The value of PostgreSQL's `synchronous_standby_names` for standbys of these names.
    pub(crate) fn setting<'a>(self, names: impl Iterator<Item = &'a str>) -> String {
        let names: Vec<_> = names.map(|name| format!("\"{name}\"")).collect();
        let names = names.join(", ");
        match self {
            Self::None => String::new(),
            Self::Any(number) => format!("ANY {number} ({names})"),
            Self::First(number) => format!("FIRST {number} ({names})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_read_and_told_to_postgresql_or_refused() {
        let read = |text: &str| Synchronous::try_from(text.to_owned());
        let setting = |text: &str| read(text).expect(text).setting(["a", "b-1"].into_iter());
        assert_eq!(setting("none"), "");
        assert_eq!(setting("any 1"), "ANY 1 (\"a\", \"b-1\")");
        assert_eq!(setting("first 2"), "FIRST 2 (\"a\", \"b-1\")");
        for text in ["", "all", "any", "any 0", "first two", "any 1 of 2"] {
            assert!(read(text).expect_err(text).contains("any 1"), "{text}");
        }
    }
}
