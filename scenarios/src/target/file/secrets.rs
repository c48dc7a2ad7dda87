//! Secrets, in each form in which a request may carry them: what is starred out must not come back
//! percent-encoded.

use std::collections::BTreeSet;

use super::template::percent_encoded;

/// The secrets as they are, in a path, in a form and in JSON; the longest first, for a short one may
/// be a part of it.
pub(super) fn in_every_form(secrets: Vec<String>) -> Vec<String> {
    let forms = |secret: String| {
        let in_form = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let quoted = serde_json::Value::from(secret.as_str()).to_string();
        let in_json = quoted[1..quoted.len() - 1].to_owned();
        [percent_encoded(&secret), in_form, in_json, secret]
    };
    let all: BTreeSet<String> = secrets.into_iter().flat_map(forms).collect();
    let mut all: Vec<String> = all.into_iter().filter(|it| !it.is_empty()).collect();
    all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_in_a_path_a_form_and_json() {
        let forms = in_every_form(vec!["a/b \"c".to_owned(), "plain".to_owned()]);
        for form in ["a/b \"c", "a%2Fb%20%22c", "a%2Fb+%22c", "a/b \\\"c", "plain"] {
            assert!(forms.iter().any(|it| it == form), "{form}: {forms:?}");
        }
        assert_eq!(forms.len(), 5);
        assert_eq!(forms.last().map(String::as_str), Some("plain"));
    }
}
