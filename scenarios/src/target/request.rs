//! A request, whoever sends it.

use http::{HeaderName, HeaderValue, Method};

use super::Expected;

/// A request to a target, without its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers beside those that every client sends.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A JSON document, or nothing.
    pub body: Option<String>,
}

impl Request {
    pub(super) fn new(method: Method, path: String) -> Self {
        Self { method, path, headers: Vec::new(), body: None }
    }

    /// The same with one more header.
    ///
    /// # Panics
    /// The value has characters that no header may have.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("keys and numbers are visible ASCII");
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub(super) fn with_body(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }

    /// The request by a client, at a base URL.
    pub fn on(self, http: &reqwest::Client, base: &str) -> reqwest::RequestBuilder {
        let mut request = http.request(self.method, format!("{base}{}", self.path));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        match self.body {
            Some(body) => request.header(http::header::CONTENT_TYPE, JSON).body(body),
            None => request,
        }
    }

    /// The request as the `http` crate has it, for clients without a base URL.
    pub fn to_http(self) -> http::Request<String> {
        let mut request = http::Request::new(self.body.unwrap_or_default());
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().expect("paths are made of ids and numbers");
        let headers = request.headers_mut();
        headers.insert(http::header::HOST, HeaderValue::from_static("slotproof"));
        if !request.body().is_empty() {
            request.headers_mut().insert(http::header::CONTENT_TYPE, JSON);
        }
        request.headers_mut().extend(self.headers);
        request
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A request, what is asked if its answer comes later, and the body that a success has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    /// What is asked until there is a decision, if the request was only accepted.
    pub poll: Option<Request>,
    /// The body of a success.
    pub expected: Expected,
}
