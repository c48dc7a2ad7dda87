//! A request before any HTTP client has seen it.

use bytes::Bytes;
use reqwest::{
    Method, RequestBuilder,
    header::{CONTENT_TYPE, HeaderName},
};
use serde::Serialize;

/// A request to a base URL that is still to be chosen, for any HTTP client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, String)>,
    body: Option<Bytes>,
}

impl Request {
    /// `path` begins with a slash, and contains the query.
    pub(super) fn new(method: Method, path: String) -> Self {
        Self { method, path, headers: Vec::new(), body: None }
    }

    /// Adds a JSON body.
    pub(super) fn with_json(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body).expect("our bodies have text keys").into());
        self.headers.push((CONTENT_TYPE, "application/json".to_owned()));
        self
    }

    /// Adds a header. A value that no header can have makes the request fail when it is sent.
    ///
    /// # Panics
    /// `name` is not a header name in lower case.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((HeaderName::from_static(name), value.into()));
        self
    }

    /// The request for reqwest.
    pub fn on(&self, http: &reqwest::Client, base_url: &str) -> RequestBuilder {
        let mut builder = http.request(self.method.clone(), self.url(base_url));
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        match &self.body {
            Some(body) => builder.body(body.clone()),
            None => builder,
        }
    }

    /// The URL at a base URL that does not end in a slash.
    pub fn url(&self, base_url: &str) -> String {
        [base_url, &self.path].concat()
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The headers; those of the connection (`host`, `content-length`) are the HTTP client's.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        self.headers.iter().map(|(name, value)| (name, value.as_str()))
    }

    /// The body; empty if there is none.
    pub fn body(&self) -> Bytes {
        self.body.clone().unwrap_or_default()
    }
}
