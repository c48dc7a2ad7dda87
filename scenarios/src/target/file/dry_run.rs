//! A dry run: every request of one visit, as it would be sent, and nothing is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;
use http::Request;
use regex::Regex;
use serde_json::Value;

use super::{
    access::{Auth, TokenSource},
    capture::Captures,
    compile::{FileTarget, OperationPlan},
    format::{Each, RowsEach, TeardownEach},
    interpreter::OperationKind,
    request::{FORM, Idempotency, RequestTemplate, form},
    rows::Source,
    setup::Slots,
    values::Values,
};

const STARS: &str = "***";

/// A request that would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRequest {
    /// What it is for, and how often it is made.
    pub scope: String,
    /// Method and URL, a line for each header, and the body after an empty line. A value that an
    /// answer would give is shown by its name, `<slot.id>`; secrets are starred out.
    pub text: String,
}

impl fmt::Display for DryRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "### {}\n{}", self.scope, self.text)
    }
}

impl FileTarget {
    /// The requests of one visit to a slot of so many seats, with setup before it and rows, log and
    /// teardown after it, in the order in which they would be sent.
    pub fn dry_run(&self, capacity: u32) -> Vec<DryRequest> {
        let mut dry = DryRun { target: self, names: Names::new(self, capacity), sent: Vec::new() };
        if let Auth::Token(source) = &self.auth {
            dry.token(source);
        }
        for each in [Each::Run, Each::Slot, Each::Client, Each::Visit] {
            if each == Each::Slot {
                dry.slots();
            }
            dry.set_up(each);
        }
        OperationKind::ALL.into_iter().for_each(|operation| dry.operation(operation));
        dry.list("rows", self.rows.as_ref().map(|rows| &rows.source));
        dry.list("log", self.log.as_ref().map(|log| &log.source));
        for each in [TeardownEach::Booking, TeardownEach::Slot, TeardownEach::Run] {
            dry.tear_down(each);
        }
        dry.sent
    }
}

struct DryRun<'a> {
    target: &'a FileTarget,
    names: Names,
    sent: Vec<DryRequest>,
}

impl DryRun<'_> {
    fn token(&mut self, source: &TokenSource) {
        let scope = source.scope.as_deref().map(|scope| ("scope", scope));
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", &source.id),
            ("client_secret", STARS),
        ];
        let body = readable(&form(fields.into_iter().chain(scope)));
        let text = format!("POST {}\ncontent-type: {FORM}\n\n{body}", source.url);
        self.show("token, before it runs out", &text);
    }

    fn slots(&mut self) {
        let Slots::Found(list) = &self.target.slots else { return };
        self.request("slots, once", &list.request, None);
    }

    fn set_up(&mut self, each: Each) {
        for setup in self.target.setup.iter().filter(|setup| setup.each == each) {
            let often = if each == Each::Run { "once" } else { "for each" };
            let of = if each == Each::Run { "" } else { each.name() };
            let scope = format!("setup, {often} {of}");
            self.request(scope.trim_end(), &setup.request, None);
            self.names.captured(Some(each.name()), &setup.captures);
        }
    }

    fn operation(&mut self, operation: OperationKind) {
        let target = self.target;
        let OperationPlan { steps, on_abort, .. } = target.plan(operation);
        let name = operation.name();
        let key = target.idempotency.as_ref().filter(|_| operation == OperationKind::Reserve);
        // What a read captures is known to nobody after it.
        let before = self.names.clone();
        for (number, step) in (1..).zip(steps) {
            let scope = match steps.len() {
                1 => name.to_owned(),
                all => format!("{name}, step {number} of {all}"),
            };
            self.request(&scope, &step.request, key);
            for rule in &step.rules {
                self.names.captured(None, &rule.captures);
                if let Some(poll) = &rule.poll {
                    self.request(&format!("{scope}, until it is decided"), &poll.request, key);
                }
            }
        }
        if let Some(on_abort) = on_abort {
            self.request(&format!("{name}, if a step after the first fails"), on_abort, None);
        }
        if operation != OperationKind::Reserve {
            self.names = before;
        }
        self.names.set(None, "booking", "<booking>".into());
    }

    fn list(&mut self, what: &str, source: Option<&Source>) {
        match source {
            None => {}
            Some(Source::Sql(sql)) => {
                self.show(&format!("{what}, after the run, by SQL"), &sql.query);
            }
            Some(Source::Http(list)) => {
                let often = match list.each {
                    RowsEach::Run => "once",
                    RowsEach::Slot => "for each slot",
                    RowsEach::Booking => "for each booking",
                };
                self.request(&format!("{what}, after the run, {often}"), &list.request, None);
            }
        }
    }

    fn tear_down(&mut self, each: TeardownEach) {
        let often = match each {
            TeardownEach::Booking => "for each booking",
            TeardownEach::Slot => "for each slot",
            TeardownEach::Run => "once",
        };
        for teardown in self.target.teardown.iter().filter(|teardown| teardown.each == each) {
            self.request(&format!("teardown, {often}"), &teardown.request, None);
        }
    }

    fn request(&mut self, scope: &str, template: &RequestTemplate, key: Option<&Idempotency>) {
        let target = self.target;
        let context = self.names.context();
        let context = Values::of(&context);
        let rendered = template.render(&target.base_url, &target.headers, &context, key);
        let text = match rendered {
            Ok(request) => self.text(&request),
            // Some templates calculate: a name instead of a number gives no value.
            Err(error) => format!(
                "{} (cannot be shown before its values are known: {error})",
                template.method
            ),
        };
        self.show(scope, &text);
    }

    fn text(&self, request: &Request<Bytes>) -> String {
        let url = readable(&request.uri().to_string());
        let mut text = format!("{} {url}", request.method());
        let mut headers: BTreeSet<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        match &self.target.auth {
            Auth::None => {}
            Auth::Header(name, value) => {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                headers.insert(format!("{name}: {value}"));
            }
            Auth::Token(_) => {
                headers.insert("authorization: Bearer <token>".to_owned());
            }
        }
        for header in headers {
            text.push('\n');
            text.push_str(&header);
        }
        let body = request.body();
        if !body.is_empty() {
            text.push_str("\n\n");
            text.push_str(&readable(&String::from_utf8_lossy(body)));
        }
        text
    }

    fn show(&mut self, scope: &str, text: &str) {
        let text = self.target.redacted(text.trim_end());
        self.sent.push(DryRequest { scope: scope.to_owned(), text });
    }
}

/// The names that have a value so far, by their scope.
#[derive(Debug, Clone)]
struct Names {
    own: BTreeMap<String, Value>,
    of: BTreeMap<&'static str, BTreeMap<String, Value>>,
}

impl Names {
    fn new(target: &FileTarget, capacity: u32) -> Self {
        let mut names = Self { own: BTreeMap::new(), of: BTreeMap::new() };
        names.set(Some("run"), "id", "<run.id>".into());
        names.set(Some("client"), "number", 0.into());
        names.of.insert("visit", BTreeMap::new());
        names.set(None, "key", "<key>".into());
        names.set(None, "seats", 1.into());
        names.set(None, "seen_version", 0.into());
        match &target.slots {
            Slots::Made => {
                names.set(Some("slot"), "capacity", capacity.into());
                names.set(Some("slot"), "starts_at", "<slot.starts_at>".into());
                names.set(Some("slot"), "around_month", "<slot.around_month>".into());
            }
            Slots::Given(slots) => {
                let first = slots.first().into_iter().flatten();
                first.for_each(|(name, value)| names.set(Some("slot"), name, value.clone()));
            }
            Slots::Found(list) => names.captured(Some("slot"), &list.captures),
        }
        names.set(Some("slot"), "number", 0.into());
        let environment = target.environment.clone();
        for name in environment.try_iter().into_iter().flatten() {
            let value = environment.get_item(&name).unwrap_or_default().to_string();
            let shown = if target.secrets.contains(&value) { STARS.to_owned() } else { value };
            names.set(Some("env"), &name.to_string(), shown.into());
        }
        names
    }

    fn set(&mut self, scope: Option<&'static str>, name: &str, value: Value) {
        let names = match scope {
            Some(scope) => self.of.entry(scope).or_default(),
            None => &mut self.own,
        };
        names.insert(name.to_owned(), value);
    }

    /// Known from here on, by their names alone.
    fn captured(&mut self, scope: Option<&'static str>, captures: &Captures) {
        for (name, _) in captures {
            let shown = scope.map_or(format!("<{name}>"), |scope| format!("<{scope}.{name}>"));
            self.set(scope, name, shown.into());
        }
    }

    fn context(&self) -> Vec<(String, minijinja::Value)> {
        let own = self.own.iter().map(|(name, value)| (name.clone(), super::scope::value(value)));
        let of = self.of.iter().map(|(scope, names)| {
            let names =
                names.iter().map(|(name, value)| (name.clone(), super::scope::value(value)));
            ((*scope).to_owned(), minijinja::Value::from_pairs(names))
        });
        own.chain(of).collect()
    }
}

/// Names and stars that became percent-encoded, as they are.
fn readable(text: &str) -> String {
    let Ok(encoded) = Regex::new("%3C([A-Za-z0-9_.-]+)%3E") else { return text.to_owned() };
    encoded.replace_all(text, "<$1>").replace("%2A%2A%2A", STARS)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn dry_run(file: &str) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/targets");
        let text = std::fs::read_to_string(folder.join(file)).expect("a target file");
        let environment = |name: &str| {
            let value = match name {
                "FHIR_URL" => "http://127.0.0.1:8080/fhir",
                "FHIR_TOKEN_URL" => "http://127.0.0.1:8080/token",
                "SHOP_URL" => "http://127.0.0.1:8081",
                "SHOP_DATABASE_URL" => "mysql://reader:s3cret@127.0.0.1/shop",
                _ => "s3cret",
            };
            Some(value.to_owned())
        };
        let target = FileTarget::parse(&text, &folder, &[], environment).expect("a target");
        let requests: Vec<String> = target.dry_run(2).iter().map(ToString::to_string).collect();
        let shown = requests.join("\n\n");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(!shown.contains("cannot be shown"), "{shown}");
        shown
    }

    #[test]
    fn every_request_of_a_visit_to_fhir_is_shown() {
        insta::assert_snapshot!(dry_run("fhir.toml"));
    }

    #[test]
    fn every_request_of_a_visit_to_the_shop_is_shown() {
        insta::assert_snapshot!(dry_run("cart.toml"));
    }

    #[test]
    fn every_kept_target_file_can_be_shown() {
        for file in ["maps.toml", "reference.toml", "octo.toml", "octo_status_only.toml"] {
            // Their addresses are what `FHIR_URL` is.
            let shown = dry_run_at(file, "http://127.0.0.1:8082");
            assert!(shown.contains("### reserve\n"), "{shown}");
        }
    }

    fn dry_run_at(file: &str, url: &str) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/targets");
        let text = std::fs::read_to_string(folder.join(file)).expect("a target file");
        let target = FileTarget::parse(&text, &folder, &[], |_| Some(url.to_owned()));
        let target = target.expect("a target");
        target.dry_run(2).iter().map(|it| format!("{it}\n\n")).collect()
    }

    #[test]
    fn a_secret_in_a_path_and_a_template_that_calculates_are_shown_as_far_as_they_can_be() {
        let text = "[target]\nname = \"t\"\nbase = \"http://127.0.0.1:1\"\n\
                    [[setup]]\neach = \"slot\"\ncapture = { id = \"$.id\" }\n\
                    request = { method = \"PUT\", path = \"/{{ env.KEY }}/{{ slot.number + 1 }}\" }\n\
                    [[reserve.step]]\nrequest = { method = \"POST\", path = \"/{{ slot.id + 1 }}\" }\n\
                    answers = [{ status = 200, means = \"ok\", capture = { booking = \"$.id\" } }]\n\
                    [claims]\nhold_ms = 0\n";
        let key = |_: &str| Some("s3cret/with a slash".to_owned());
        let target = FileTarget::parse(text, Path::new(""), &[], key).expect("a target");
        let shown = target.dry_run(2);
        assert_eq!(shown[0].text, "PUT http://127.0.0.1:1/***/1");
        assert!(shown[1].text.starts_with("POST (cannot be shown before"), "{}", shown[1].text);
    }
}
