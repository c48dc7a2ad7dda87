//! Who is asked, and what lets requests in: the base URL, hosts, the environment, secrets,
//! certificates and limits.

use std::{fs, net::IpAddr};

use reqwest::{Url, header::AUTHORIZATION};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Compiler, Names, Tls, header_name};
use crate::target::file::{
    access::{Auth, Limits, TokenSource},
    format::{AuthWords, Secret, TlsWords},
    request::header_value,
    scope,
    values::{Named, Values},
};

impl Compiler<'_> {
    pub(super) fn base_url(&self, base: &str) -> Result<String, String> {
        let base = self.of_environment(base)?;
        let url = Url::parse(&base).map_err(|error| format!("{base:?} is no URL: {error}"))?;
        if !["http", "https"].contains(&url.scheme()) || url.query().is_some() {
            return Err("the base URL begins with http:// or https://, and has no query".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the base URL has a user or a password in it: use [auth]".to_owned());
        }
        self.may_be_loaded(&url)?;
        Ok(base.trim_end_matches('/').to_owned())
    }

    /// A text whose names are variables of the environment.
    pub(super) fn of_environment(&self, source: &str) -> Result<String, String> {
        let text = self.engine.text(source)?;
        self.variables(&text.names())?;
        let environment = scope::object(&self.used.borrow());
        text.render(&Values::pairs(vec![("env", Named::Value(environment))]))
    }

    /// The variables of the environment that were named until now, with their values.
    pub(super) fn used_so_far(&self) -> Vec<(String, String)> {
        let used = self.used.borrow();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        used.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    }

    /// Only this machine, unless both the file and the command line allow the host by name.
    pub(super) fn may_be_loaded(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        let loopback = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
        let names = |hosts: &[String]| hosts.iter().any(|it| it == host);
        match (loopback, names(&self.in_file), names(&self.asked)) {
            (true, ..) | (_, true, true) => Ok(()),
            (_, false, _) => Err(format!(
                "{host} is not this machine; load goes to it only if the file allows it \
                 (allow = [\"{host}\"]) and the command line too (--allow {host})"
            )),
            (_, true, false) => {
                Err(format!("{host} is not this machine; say --allow {host} on the command line"))
            }
        }
    }

    /// What an environment variable holds is a secret, unless it is a part of the base URL.
    pub(super) fn shown_as_stars(&self, name: &str) {
        let value = self.used.borrow().get(name).and_then(Value::as_str).map(str::to_owned);
        let secret = value.filter(|it| !it.is_empty() && !self.base_url.borrow().contains(it));
        self.secrets.borrow_mut().extend(secret);
    }

    /// Reads the environment variables among some names.
    pub(super) fn variables(&self, names: &Names) -> Result<(), String> {
        for name in names.iter().filter_map(|name| name.strip_prefix("env.")) {
            let value = (self.environment)(name)
                .ok_or_else(|| format!("the environment variable {name} is not set"))?;
            self.used.borrow_mut().insert(name.to_owned(), value.into());
        }
        Ok(())
    }

    pub(super) fn auth(&self, words: &AuthWords) -> Result<Auth, String> {
        use base64::Engine as _;
        let secret = |secret: &Secret| self.secret("[auth]", secret);
        Ok(match words {
            AuthWords::Bearer { token } => {
                Auth::Header(AUTHORIZATION, header_value(&format!("Bearer {}", secret(token)?))?)
            }
            AuthWords::Basic { user, password } => {
                let plain = format!("{user}:{}", secret(password)?);
                let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
                self.secrets.borrow_mut().push(encoded.clone());
                Auth::Header(AUTHORIZATION, header_value(&format!("Basic {encoded}"))?)
            }
            AuthWords::Header { name, value } => {
                Auth::Header(header_name(name)?, header_value(&secret(value)?)?)
            }
            AuthWords::Oauth2ClientCredentials { token_url, client_id, client_secret, scope } => {
                let url = self.of_environment(token_url)?;
                let url = Url::parse(&url)
                    .map_err(|error| format!("[auth]: token_url {url:?} is no URL: {error}"))?;
                self.may_be_loaded(&url).map_err(|error| format!("[auth]: {error}"))?;
                Auth::Token(TokenSource {
                    url,
                    id: client_id.clone(),
                    secret: secret(client_secret)?,
                    scope: scope.clone(),
                    token: Mutex::default(),
                })
            }
        })
    }

    pub(super) fn secret(&self, of: &str, secret: &Secret) -> Result<String, String> {
        let value = (self.environment)(&secret.env)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("{of}: the environment variable {} is not set", secret.env))?;
        self.secrets.borrow_mut().push(value.clone());
        Ok(value)
    }

    pub(super) fn tls(&self, TlsWords { ca, identity }: &TlsWords) -> Result<Tls, String> {
        let pem = |name: &Option<String>| {
            let read = |name: &String| {
                fs::read(self.folder.join(name))
                    .map_err(|error| format!("[tls]: failed to read {name}: {error}"))
            };
            name.as_ref().map(read).transpose()
        };
        Ok(Tls { ca: pem(ca)?, identity: pem(identity)? })
    }

    pub(super) fn limits(
        &self,
        rate: Option<f64>,
        bookings_max: Option<u64>,
    ) -> Result<Limits, String> {
        if rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return Err("[target]: rate is a number of requests per second above 0".to_owned());
        }
        Ok(Limits::new(rate, bookings_max))
    }
}
