//! The base URL and the name of a target, from the servers of a document.

use std::net::IpAddr;

use reqwest::Url;
use serde_json::Value;

use super::document::Document;

/// A base URL as the file has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) url: String,
    pub(super) comment: Option<String>,
}

/// The document's first server if it is this machine; another one is loaded only by those who name
/// it.
pub(super) fn of(document: &Document<'_>) -> Base {
    let server = document.get("servers").get(0).unwrap_or(&Value::Null);
    let mut written = server["url"].as_str().unwrap_or_default().to_owned();
    for (name, variable) in server["variables"].as_object().into_iter().flatten() {
        let value = variable["default"].as_str().unwrap_or_default();
        written = written.replace(&format!("{{{name}}}"), value);
    }
    let Ok(url) = Url::parse(&written) else {
        let path = written.trim_end_matches('/');
        let path = if path.starts_with('/') && !path.contains('{') { path } else { "" };
        return Base {
            url: format!("{{{{ env.TARGET_URL }}}}{path}"),
            comment: Some("TARGET_URL is the API's address, as http://127.0.0.1:8080".to_owned()),
        };
    };
    let host = url.host_str().unwrap_or_default();
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    let path = url.path().trim_end_matches('/');
    match loopback {
        true => Base { url: url.as_str().trim_end_matches('/').to_owned(), comment: None },
        false => Base {
            url: format!("{{{{ env.TARGET_URL }}}}{path}"),
            comment: Some(format!(
                "TARGET_URL is the address of a test system, as http://127.0.0.1:8080. For another \
                 host than this machine, {host} say, add allow = [{host:?}] below, and --allow \
                 {host} on the command line"
            )),
        },
    }
}

/// A title as a name.
pub(super) fn name(title: &str) -> String {
    let letters = title.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { ' ' });
    let letters: String = letters.collect();
    let name = letters.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-");
    if name.is_empty() { "target".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_server_on_this_machine_is_written_as_it_stands() {
        for (server, expected) in [
            (json!({ "url": "http://localhost:8080/v1/" }), "http://localhost:8080/v1"),
            (json!({ "url": "https://api.example.org/v2" }), "{{ env.TARGET_URL }}/v2"),
            (json!({ "url": "/api" }), "{{ env.TARGET_URL }}/api"),
            (
                json!({
                    "url": "http://127.0.0.1:{port}",
                    "variables": { "port": { "default": "9000" } }
                }),
                "http://127.0.0.1:9000",
            ),
            (json!({}), "{{ env.TARGET_URL }}"),
        ] {
            let root = json!({ "openapi": "3.1.0", "servers": [server], "paths": { "/": {} } });
            let document = Document::new(&root).expect("a document");
            assert_eq!(of(&document).url, expected);
        }
    }
}
