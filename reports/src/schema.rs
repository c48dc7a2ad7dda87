//! Reading `run.json`: only the version of the shape that this code was written for.

use serde::Deserialize;

use crate::RunReport;

/// Why bytes are not a [`RunReport`].
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or JSON of another shape.
    #[error(
        "not a run.json: {0}; give the run.json of a run directory, written by `slotproof run`"
    )]
    NotARunReport(#[from] serde_json::Error),
    /// A shape that another version of Slotproof wrote.
    #[error(
        "run.json has schema_version {found}, this slotproof reads {readable}; render it with the \
         slotproof that made it (`slotproof_version` in the file), or write it anew with \
         `slotproof report --from-history RUN`",
        readable = RunReport::SCHEMA_VERSION
    )]
    OtherVersion {
        /// The version in the file.
        found: u64,
    },
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Versioned {
    schema_version: u64,
}

impl RunReport {
    /// Reads `run.json`.
    ///
    /// # Errors
    /// Refuses what is not JSON of this shape, and what has another [`RunReport::SCHEMA_VERSION`];
    /// the version is looked at first, so that a file of the future is called that, and not
    /// damaged.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReadError> {
        let Versioned { schema_version: found } = serde_json::from_slice(bytes)?;
        if found != u64::from(Self::SCHEMA_VERSION) {
            return Err(ReadError::OtherVersion { found });
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_version_is_refused_with_what_to_do() {
        let error = RunReport::from_json(br#"{"schema_version": 7, "new": true}"#)
            .expect_err("not ours")
            .to_string();
        assert!(
            error.contains("schema_version 7") && error.contains("report --from-history"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_report_is_refused_with_where_one_is_found() {
        for bytes in [&b""[..], b"[]", b"{}", br#"{"schema_version": 3}"#, b"\xff"] {
            let error = RunReport::from_json(bytes).expect_err("not a report").to_string();
            assert!(error.contains("not a run.json"), "{error}");
        }
    }
}
