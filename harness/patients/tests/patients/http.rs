//! Requests and answers, as far as these tests look at them.

use std::sync::LazyLock;

use reqwest::{Client, Method, header::HeaderMap};
use serde_json::Value;

static CLIENT: LazyLock<Client> = LazyLock::new(Client::new);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Null where the body is no JSON.
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_else(|| panic!("no header {name}: {} {}", self.status, self.text))
    }
}

/// Sends a request. `body` is its content type and its text.
pub(crate) async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<(&str, String)>,
) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = CLIENT.request(method, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some((kind, text)) = body {
        request = request.header("Content-Type", kind).body(text);
    }
    let response = request.send().await.expect("it answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.expect("a body");
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, headers, text, json }
}

pub(crate) async fn post(url: &str, headers: &[(&str, &str)], json: &Value) -> Answer {
    send("POST", url, headers, Some(("application/json", json.to_string()))).await
}
