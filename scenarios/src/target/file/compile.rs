//! From the words of a target file to what the interpreter needs: every template, path and
//! expression compiled, every name known, every rule able to match.

mod access;
mod operations;
mod places;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::header::HeaderName;
use serde_json::Value;

use super::{
    access::{Auth, Limits},
    format::{Claims, Meaning, StackWords, Words},
    log::Log,
    request::{Idempotency, RequestTemplate},
    rows::Rows,
    rule::{Condition, Rule},
    setup::{Setup, Slots, TargetError, Teardown},
    template::{Engine, Text},
};
use crate::connections::Connections;

/// A target that a file describes.
#[derive(Debug)]
pub struct FileTarget {
    /// Its name.
    pub name: String,
    /// Its base URL, without a slash at the end.
    pub base_url: String,
    /// The variables of the environment that the base URL was made of, with their values. No secret
    /// is among them: the base URL is shown.
    pub base_variables: Vec<(String, String)>,
    /// What the API does not promise.
    pub claims: Claims,
    /// How the service is started and stopped.
    pub stack: StackWords,
    /// Where its bookings are read after a run.
    pub rows: Option<Rows>,
    /// Where the changes of bookings are read after the run.
    pub log: Option<Log>,
    pub(super) auth: Auth,
    pub(super) tls: Tls,
    pub(super) limits: Limits,
    pub(super) headers: Vec<(HeaderName, Text)>,
    pub(super) setup: Vec<Setup>,
    pub(super) teardown: Vec<Teardown>,
    pub(super) slots: Slots,
    pub(super) idempotency: Option<Idempotency>,
    pub(super) reserve: OperationPlan,
    pub(super) confirm: OperationPlan,
    pub(super) cancel: OperationPlan,
    pub(super) read: OperationPlan,
    pub(super) booking: OperationPlan,
    /// Whether a request has the version in it that its client has seen.
    pub(super) asks_for_versions: bool,
    /// Whether a request of a reserve has a number of seats in it.
    pub(super) asks_for_seats: bool,
    /// Whether confirm or cancel need more of a booking than its id.
    pub(super) keeps_captures: bool,
    /// The environment variables that the file names.
    pub(super) environment: minijinja::Value,
    /// Written nowhere.
    pub(super) secrets: Vec<String>,
}

/// How an operation is made.
#[derive(Debug, Default)]
pub(super) struct OperationPlan {
    pub(super) steps: Vec<Step>,
    pub(super) on_abort: Option<RequestTemplate>,
    /// How its answer says that the seats are free; `None`: it does not.
    pub(super) released_when: Option<Vec<Condition>>,
}

#[derive(Debug)]
pub(super) struct Step {
    /// Whether an answer that means `next` has set the seats aside.
    pub(super) takes_seats: bool,
    pub(super) request: RequestTemplate,
    pub(super) rules: Vec<Rule>,
    pub(super) every: Pauses,
}

/// Pauses between polls, each twice the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pauses {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { first: Duration::from_millis(10), longest: Duration::from_millis(640) }
    }
}

/// Certificates.
#[derive(Debug, Default)]
pub(super) struct Tls {
    pub(super) ca: Option<Vec<u8>>,
    pub(super) identity: Option<Vec<u8>>,
}

/// Captures of a reserve that say something of the booking to everyone.
const FIXED_CAPTURES: [&str; 8] = [
    "booking",
    "version",
    "available",
    "pending",
    "confirmed",
    "capacity",
    "hold_ms",
    "hold_until",
];

impl FileTarget {
    /// Reads a target file. `allowed` are the hosts that the command line allows.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn read(path: &Path, allowed: &[String]) -> Result<Self, TargetError> {
        let text = fs::read_to_string(path).map_err(|error| {
            TargetError::File(format!("failed to read {}: {error}", path.display()))
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder, allowed, |name| std::env::var(name).ok())
            .map_err(|reason| TargetError::File(format!("{}: {reason}", path.display())))
    }

    /// The text of a target file that needs no file beside it, but for certificates.
    ///
    /// # Errors
    /// A file that it names cannot be read.
    pub fn self_contained(path: &Path) -> Result<String, TargetError> {
        let refused = |reason: String| TargetError::File(format!("{}: {reason}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        super::inline::inline(&text, folder).map_err(refused)
    }

    pub(in crate::target) fn parse(
        text: &str,
        folder: &Path,
        allowed: &[String],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let words: Words = toml::from_str(text).map_err(secret_in_clear)?;
        let compiler = Compiler {
            text,
            folder: folder.to_owned(),
            engine: Engine::new(),
            environment: &environment,
            in_file: words.target.allow.clone(),
            asked: allowed.to_vec(),
            used: RefCell::default(),
            base_url: RefCell::default(),
            secrets: RefCell::default(),
        };
        compiler.target(words)
    }

    /// Whether no request of it goes over TLS.
    pub fn is_plain(&self) -> bool {
        let plain = |url: &str| url.starts_with("http://");
        plain(&self.base_url) && self.auth.token_url().is_none_or(|url| plain(url.as_str()))
    }

    /// Connections to the API, on which an exchange lasts for `timeout` at most. No redirect is
    /// followed, for it may lead to a host that is not allowed, and nothing is sent again.
    ///
    /// # Errors
    /// The TLS roots of the machine cannot be read, or a certificate of the file cannot be used.
    pub fn connections(&self, timeout: Duration) -> Result<Connections, TargetError> {
        let refused = |what: &'static str| {
            move |error: reqwest::Error| TargetError::File(format!("[tls] {what}: {error}"))
        };
        let mut builder = reqwest::Client::builder()
            .timeout(timeout)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy();
        if let Some(pem) = &self.tls.ca {
            let ca = reqwest::Certificate::from_pem(pem).map_err(refused("ca"))?;
            builder = builder.tls_certs_merge([ca]);
        }
        if let Some(pem) = &self.tls.identity {
            let identity = reqwest::Identity::from_pem(pem).map_err(refused("identity"))?;
            builder = builder.identity(identity);
        }
        Ok(Connections::new(builder.build()?, timeout))
    }
}

/// A secret that stands in the file is a type error to the parser; people need to be told why.
fn secret_in_clear(error: toml::de::Error) -> String {
    let said = error.to_string();
    if said.contains("struct Secret") || said.contains("expected a table") {
        return format!(
            "{said}\na secret never stands in the file: write {{ env = \"NAME\" }}, and set NAME"
        );
    }
    said
}

struct Compiler<'a> {
    text: &'a str,
    /// Where the files are that the target file names.
    folder: PathBuf,
    engine: Engine,
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// Hosts that the file allows, ...
    in_file: Vec<String>,
    /// ... and those that the command line allows.
    asked: Vec<String>,
    /// The variables of the environment that were named.
    used: RefCell<serde_json::Map<String, Value>>,
    /// The base URL, once it is known.
    base_url: RefCell<String>,
    secrets: RefCell<Vec<String>>,
}

/// The names that have a value at some place of the file.
type Names = BTreeSet<String>;

impl Compiler<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or_default().matches('\n').count() + 1
    }

    fn target(&self, words: Words) -> Result<FileTarget, String> {
        let base_line = self.line(words.target.base.span().start);
        let base_url = self
            .base_url(words.target.base.get_ref())
            .map_err(|reason| format!("line {base_line}: {reason}"))?;
        self.base_url.borrow_mut().clone_from(&base_url);
        let base_variables = self.used_so_far();
        let mut headers = Vec::new();
        for (name, value) in &words.target.headers {
            if name.eq_ignore_ascii_case("authorization") {
                return Err("a secret never stands in the file: [auth] makes the header \
                            Authorization, of an environment variable"
                    .to_owned());
            }
            headers.push((header_name(name)?, self.known(value, &Names::new())?));
        }
        let auth = words.auth.as_ref().map_or(Ok(Auth::None), |words| self.auth(words))?;
        let mut names = Names::from(["run.id".to_owned(), "client.number".to_owned()]);
        let slots = self.slots(words.slot, words.slots, &mut names)?;
        let mut setup = Vec::new();
        for words in words.setup {
            setup.push(self.setup(words, &mut names)?);
        }
        let mut teardown = Vec::new();
        for words in words.teardown {
            teardown.push(self.teardown(words, &names)?);
        }
        let idempotency = words.idempotency.map(|words| self.idempotency(words)).transpose()?;
        let without_visits = names.iter().filter(|name| !name.starts_with("visit.")).cloned();
        let without_visits: Names = without_visits.collect();
        let reserve = self.operation("reserve", Some(words.reserve), &names)?;
        let says_hold =
            |rule: &Rule| rule.captures.iter().any(|(name, _)| name.starts_with("hold_"));
        let rules = reserve.steps.iter().flat_map(|step| &step.rules);
        let polled = rules.clone().filter_map(|rule| rule.poll.as_ref()?.rules.as_ref()).flatten();
        let mut ok = rules.chain(polled).filter(|rule| rule.means == Meaning::Ok);
        if words.claims.hold_ms.is_none() && !ok.all(says_hold) {
            return Err(
                "nothing says how long an unconfirmed booking is held, and one that runs out \
                        would look like a seat sold twice; capture hold_ms or hold_until from the \
                        answer to a reserve, or add [claims] hold_ms = 600000 (0: for ever)"
                    .to_owned(),
            );
        }
        let of_booking: Names = captures_of(&reserve).collect();
        let after = names.iter().cloned().chain(of_booking.clone()).collect();
        let confirm = self.operation("confirm", words.confirm, &after)?;
        let cancel = self.operation("cancel", words.cancel, &after)?;
        let booking = self.operation("booking", words.booking, &after)?;
        let needs = |name: &String| name.starts_with("visit.") || of_booking.contains(name);
        let keeps_captures =
            [&confirm, &cancel, &booking].into_iter().flat_map(names_in).any(|name| needs(&name));
        let read = self.operation("read", words.read, &without_visits)?;
        let all = [&reserve, &confirm, &cancel, &booking, &read];
        let asks_for_versions =
            all.into_iter().flat_map(names_in).any(|name| name == "seen_version");
        let rows = words.rows.map(|words| self.rows(words, &names)).transpose()?;
        let log = words.log.map(|log| self.log(log, rows.as_ref(), &words.claims, &names));
        Ok(FileTarget {
            asks_for_versions,
            asks_for_seats: reserve.steps.iter().any(|step| step.request.names().contains("seats")),
            keeps_captures,
            reserve,
            confirm,
            cancel,
            booking,
            read,
            name: words.target.name,
            base_url,
            base_variables,
            claims: words.claims,
            stack: words.stack,
            rows,
            log: log.transpose()?,
            auth,
            tls: words.tls.map(|words| self.tls(&words)).transpose()?.unwrap_or_default(),
            limits: self.limits(words.target.rate, words.target.bookings_max)?,
            headers,
            setup,
            teardown,
            slots,
            idempotency,
            environment: super::scope::object(&self.used.take()),
            secrets: super::secrets::in_every_form(self.secrets.take()),
        })
    }
}

/// What the answers of an operation capture for its booking, beside what everyone understands.
fn captures_of(plan: &OperationPlan) -> impl Iterator<Item = String> {
    let rules = plan.steps.iter().flat_map(|step| &step.rules);
    let names = rules.flat_map(|rule| rule.captures.iter().map(|(name, _)| name.clone()));
    names.filter(|name| !FIXED_CAPTURES.contains(&name.as_str()))
}

/// The names that an operation's requests use.
fn names_in(plan: &OperationPlan) -> Names {
    let polls = plan.steps.iter().flat_map(|step| {
        step.rules.iter().filter_map(|it| it.poll.as_ref().map(|poll| &poll.request))
    });
    let requests = plan.steps.iter().map(|step| &step.request).chain(polls).chain(&plan.on_abort);
    requests.flat_map(RequestTemplate::names).collect()
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| format!("{name:?} is no name of a header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[target]\nname = \"t\"\nbase = \"http://127.0.0.1:1\"\n";
    const RESERVE: &str = "[[reserve.step]]\nrequest = { method = \"POST\", path = \"/b\" }\n\
                           answers = [{ status = 201, means = \"ok\", capture = { booking = \"$.id\" } }]\n\
                           [claims]\nhold_ms = 0\n";

    fn parse(text: &str) -> Result<FileTarget, String> {
        let environment = |name: &str| (name == "SET").then(|| "s3cret".to_owned());
        FileTarget::parse(text, Path::new(""), &["allowed.example".to_owned()], environment)
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_to_write() {
        let with = |rest: &str| format!("{HEAD}{RESERVE}{rest}");
        let reserve = |request: &str, answers: &str| {
            format!(
                "{HEAD}[[reserve.step]]\nrequest = {{ {request} }}\nanswers = [\n{answers}\n]\n"
            )
        };
        let get = "method = \"GET\", path = \"/x\"";
        let ok = "{ status = 200, means = \"ok\", capture = { booking = \"$.id\" } }";
        let cases = [
            (with("[targets]\n"), "unknown field `targets`"),
            (HEAD.replace("127.0.0.1", "api.example"), "missing field `reserve`"),
            (
                with("").replace("127.0.0.1", "api.example"),
                "line 3: api.example is not this machine",
            ),
            (
                with("").replace("127.0.0.1:1\"", "allowed.example\"\nallow = [\"x\"]"),
                "allow = [\"allowed.example\"]",
            ),
            (with("").replace("127.0.0.1:1", "{{ env.UNSET }}"), "variable UNSET is not set"),
            (
                with("[auth]\nkind = \"bearer\"\ntoken = \"abc\"\n"),
                "a secret never stands in the file",
            ),
            (
                with("[auth]\nkind = \"bearer\"\ntoken = { env = \"UNSET\" }\n"),
                "environment variable UNSET is not set",
            ),
            (
                reserve("method = \"GET\", path = \"/x/{{ slot.uid }}\"", ok),
                "line 4: reserve: {{ slot.uid }} has no value here",
            ),
            (reserve("method = \"GET\", path = \"x\"", ok), "must begin with a slash"),
            (reserve(get, "{ status = 200, means = \"fine\" }"), "unknown variant `fine`"),
            (
                reserve(get, "{ status = 200, means = \"next\" }"),
                "line 4: reserve: say takes_seats = true",
            ),
            (
                reserve(get, ok)
                    + "[[read.step]]\nrequest = { method = \"GET\", path = \"/x\" }\n\
                       answers = [{ status = 200, means = \"next\" }]\n[claims]\nhold_ms = 0\n",
                "read: there is no next",
            ),
            (reserve(get, "{ status = 200, means = \"poll\" }"), "needs a request"),
            (
                reserve(get, &format!("{ok},\n{{ status = [200], means = \"sold_out\" }}")),
                "line 8: reserve: this rule can never match: the one on line 7",
            ),
            (
                reserve(
                    get,
                    "{ status = 200, when = [[\"$[\", \"==\", 1]], means = \"rejected\" }",
                ),
                "is no path (RFC 9535)",
            ),
            (
                reserve(get, "{ status = 200, means = \"ok\", capture = { booking = \"id\" } }"),
                "\"id\" is no capture",
            ),
            (
                reserve(
                    get,
                    "{ status = 200, means = \"ok\", capture = { booking = \"header:Location:x\" } }",
                ),
                "needs one group",
            ),
            (with("[idempotency]\nvalue = \"x\"\n"), "either a header, a body field"),
            (
                format!("{HEAD}{RESERVE}").replace("[claims]\nhold_ms = 0\n", ""),
                "nothing says how long an unconfirmed booking is held",
            ),
            (
                reserve("method = \"GET\", path = \"/x/{{ booking }}\"", ok),
                "{{ booking }} has no value",
            ),
            (reserve(get, "{ status = 200, means = \"ok\" }"), "needs the capture booking"),
            (reserve(get, "{ status = 4010, means = \"rejected\" }"), "4010 is no HTTP status"),
            (with("").replace("127.0.0.1:1", "me:pw@127.0.0.1"), "use [auth]"),
            (with("").replace("http://", "ftp://"), "begins with http://"),
        ];
        for (text, said) in cases {
            let error = parse(&text).expect_err(&text);
            assert!(error.contains(said), "{error}\ndoes not say {said:?}\n{text}");
        }
    }

    #[test]
    fn a_host_is_loaded_only_if_file_and_command_line_allow_it() {
        let elsewhere = format!("{HEAD}{RESERVE}")
            .replace("127.0.0.1:1\"", "allowed.example/\"\nallow = [\"allowed.example\"]");
        assert_eq!(parse(&elsewhere).expect("both allow it").base_url, "http://allowed.example");
    }

    #[test]
    fn the_variables_of_the_base_url_are_told_and_no_others() {
        let text =
            format!("{HEAD}{RESERVE}[auth]\nkind = \"bearer\"\ntoken = {{ env = \"SET\" }}\n");
        assert!(parse(&text).expect("a target").base_variables.is_empty());
        let text = text.replace("127.0.0.1:1\"", "127.0.0.1:1/{{ env.SET }}\"");
        let told = parse(&text).expect("a target").base_variables;
        assert_eq!(told, [("SET".to_owned(), "s3cret".to_owned())]);
    }
}
