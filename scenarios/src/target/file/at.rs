//! Paths into a JSON body, by RFC 9535. A plain one, like `$.a.b`, is followed without a query.

use serde_json::Value;
use serde_json_path::JsonPath;

/// Where values of a body are.
#[derive(Debug)]
pub(super) enum At {
    /// Names from the top of the body.
    Names(Vec<String>),
    Path(JsonPath),
}

impl At {
    /// # Errors
    /// Says what is wrong with the path.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let path = JsonPath::parse(text)
            .map_err(|error| format!("{text:?} is no path (RFC 9535): {error}"))?;
        let names = text.strip_prefix('$').unwrap_or_default();
        let plain = |name: &str| {
            !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
        };
        let mut names = names.split('.');
        // What is before the first dot: nothing, of a plain path.
        Ok(match names.next() == Some("") && names.clone().all(plain) {
            true => Self::Names(names.map(str::to_owned).collect()),
            false => Self::Path(path),
        })
    }

    /// The values there.
    pub(super) fn all<'j>(&self, json: &'j Value) -> Vec<&'j Value> {
        match self {
            Self::Names(_) => self.first(json).into_iter().collect(),
            Self::Path(path) => path.query(json).all(),
        }
    }

    /// The first value there.
    pub(super) fn first<'j>(&self, json: &'j Value) -> Option<&'j Value> {
        match self {
            Self::Names(names) => names.iter().try_fold(json, |json, name| json.get(name)),
            Self::Path(path) => path.query(json).first(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_followed_and_any_other_is_queried() {
        let json = serde_json::json!({ "a": { "b": [1, 2] }, "n": null });
        let first = |path: &str| At::parse(path).expect("a path").first(&json).cloned();
        assert_eq!(first("$.a.b"), Some(serde_json::json!([1, 2])));
        assert_eq!(first("$.a.c"), None);
        assert_eq!(first("$"), Some(json.clone()));
        assert_eq!(first("$.a.b[1]"), Some(2.into()));
        assert_eq!(At::parse("$.a.b[*]").expect("a path").all(&json).len(), 2);
        for (path, plain) in [("$", true), ("$.a.b", true), ("$..b", false), ("$.a[0]", false)] {
            assert_eq!(matches!(At::parse(path), Ok(At::Names(_))), plain, "{path}");
        }
        assert!(At::parse("$.a-b").is_err());
    }
}
