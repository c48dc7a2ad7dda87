//! The words of a target file, as TOML has them. Unknown keys are refused.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use slotproof_vocabulary::BookingStatus;
use toml::Spanned;

use super::schema;

/// A booking API that slotproof can load and judge.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Slotproof target file")]
pub(super) struct Words {
    pub(super) target: TargetWords,
    pub(super) auth: Option<AuthWords>,
    pub(super) tls: Option<TlsWords>,
    #[serde(default)]
    #[schemars(with = "Vec<SetupWords>")]
    pub(super) setup: Vec<Spanned<SetupWords>>,
    #[serde(default)]
    #[schemars(with = "Vec<TeardownWords>")]
    pub(super) teardown: Vec<Spanned<TeardownWords>>,
    /// Slots that exist. Each has an `id` and a `capacity`, and what requests need of it.
    #[serde(default)]
    #[schemars(with = "Vec<BTreeMap<String, Value>>")]
    pub(super) slot: Vec<Spanned<BTreeMap<String, Value>>>,
    /// Where slots that exist are found.
    #[schemars(with = "Option<ListWords>")]
    pub(super) slots: Option<Spanned<ListWords>>,
    #[schemars(with = "Option<IdempotencyWords>")]
    pub(super) idempotency: Option<Spanned<IdempotencyWords>>,
    /// Takes seats.
    pub(super) reserve: OperationWords,
    /// Confirms a booking.
    pub(super) confirm: Option<OperationWords>,
    /// Gives the seats of a booking back.
    pub(super) cancel: Option<OperationWords>,
    /// Reads how many seats of a slot are free.
    pub(super) read: Option<OperationWords>,
    /// Reads the status of a booking.
    pub(super) booking: Option<OperationWords>,
    #[schemars(with = "Option<RowsWords>")]
    pub(super) rows: Option<Spanned<RowsWords>>,
    #[schemars(with = "Option<LogWords>")]
    pub(super) log: Option<Spanned<LogWords>>,
    #[serde(default)]
    pub(super) claims: Claims,
    #[serde(default)]
    pub(super) stack: StackWords,
}

/// The API, and how much may be asked of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetWords {
    /// Its name in reports.
    pub(super) name: String,
    /// The base URL, which may be a template of the environment.
    #[schemars(with = "String")]
    pub(super) base: Spanned<String>,
    /// Headers of every request.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Hosts beside the loopback that may be loaded, one by one.
    #[serde(default)]
    pub(super) allow: Vec<String>,
    /// Requests per second at most.
    pub(super) rate: Option<f64>,
    /// Bookings that a run makes at most.
    pub(super) bookings_max: Option<u64>,
}

/// How requests are authorised.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum AuthWords {
    Basic {
        user: String,
        password: Secret,
    },
    Bearer {
        token: Secret,
    },
    Header {
        name: String,
        value: Secret,
    },
    /// A token of RFC 6749, 4.4.
    Oauth2ClientCredentials {
        /// A template of the environment.
        token_url: String,
        client_id: String,
        client_secret: Secret,
        scope: Option<String>,
    },
}

/// Files of certificates, in PEM, beside the target file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsWords {
    /// Who signed the API's certificate.
    pub(super) ca: Option<String>,
    /// Certificate and private key of the client.
    pub(super) identity: Option<String>,
}

/// A secret. It is named by an environment variable, and never stands in the file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    /// The variable's name.
    pub(super) env: String,
}

/// A request that is made before the load.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetupWords {
    pub(super) each: Each,
    pub(super) request: RequestWords,
    /// What is taken from the answer.
    #[serde(default)]
    pub(super) capture: BTreeMap<String, CaptureWords>,
}

/// How often a setup is made, and in which scope its captures live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Each {
    /// Once.
    Run,
    /// For every slot.
    Slot,
    /// For every client, before its first operation.
    Client,
    /// Before every reserve; confirm and cancel of its booking know what it captured.
    Visit,
}

impl Each {
    /// As the file says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Slot => "slot",
            Self::Client => "client",
            Self::Visit => "visit",
        }
    }
}

/// A request that is made after the run, whatever became of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TeardownWords {
    pub(super) each: TeardownEach,
    pub(super) request: RequestWords,
}

/// How often a teardown is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TeardownEach {
    /// For every booking that a client was told of.
    Booking,
    /// For every slot.
    Slot,
    /// Once, at the end.
    Run,
}

/// A list that an API gives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListWords {
    pub(super) request: RequestWords,
    /// Where its items are.
    pub(super) items: String,
    /// What is taken of each item: paths begin at the item.
    pub(super) capture: BTreeMap<String, CaptureWords>,
}

/// Where the bookings are read after the run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RowsWords {
    pub(super) sql: Option<SqlWords>,
    pub(super) http: Option<RowsHttpWords>,
    /// Their words for `pending`, `confirmed`, `cancelled`, `expired` and `failed`.
    #[serde(default)]
    #[schemars(with = "schema::Statuses")]
    pub(super) status: BTreeMap<BookingStatus, Vec<String>>,
    /// Whether bookings that are cancelled or expired are among them.
    #[serde(default)]
    pub(super) ended_are_kept: bool,
}

/// Where the changes of bookings are read after the run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogWords {
    pub(super) sql: Option<SqlWords>,
    pub(super) http: Option<LogHttpWords>,
    /// Their words for `pending`, `confirmed`, `cancelled`, `expired` and `failed`; those of
    /// `[rows.status]` unless given.
    #[serde(default)]
    #[schemars(with = "schema::Statuses")]
    pub(super) status: BTreeMap<BookingStatus, Vec<String>>,
    /// Whether a hold that runs out gets a record, before its seats are sold again.
    #[serde(default)]
    pub(super) records_expiry: bool,
}

/// Requests that list changes of bookings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogHttpWords {
    #[serde(default)]
    pub(super) each: LogEach,
    pub(super) request: RequestWords,
    /// Where the changes are in the body.
    pub(super) items: String,
    /// Where the URL of the next page is.
    pub(super) next: Option<String>,
    /// `slot`, `version`, `booking`, `status`, `seats` and perhaps `available`, from paths that
    /// begin at the item.
    pub(super) record: BTreeMap<String, CaptureWords>,
}

/// How often the changes are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum LogEach {
    /// Once: every change of the run.
    #[default]
    Run,
    /// For every slot: its changes.
    Slot,
}

/// A query of a database role that can only read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlWords {
    /// `postgres://` or `mysql://`.
    pub(super) url: Secret,
    pub(super) query: Option<String>,
    /// A file beside the target file.
    pub(super) query_file: Option<String>,
}

/// Requests that list bookings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RowsHttpWords {
    #[serde(default)]
    pub(super) each: RowsEach,
    pub(super) request: RequestWords,
    /// Where the bookings are in the body; the body is one booking unless given.
    pub(super) items: Option<String>,
    /// Where the URL of the next page is.
    pub(super) next: Option<String>,
    /// `booking`, `slot`, `seats`, `status` and `key`, from paths that begin at the item.
    pub(super) row: BTreeMap<String, CaptureWords>,
}

/// How often the bookings are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowsEach {
    /// Once: every booking of the run.
    #[default]
    Run,
    /// For every slot: its bookings.
    Slot,
    /// For every booking that a client was told of: others are not seen.
    Booking,
}

/// How the service is started and stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StackWords {
    /// Starts it. It may go on as a process or return.
    pub start: Option<String>,
    /// A path of the API that answers 2xx once it is ready.
    pub ready: Option<String>,
    /// Stops it.
    pub stop: Option<String>,
    /// What may be done to it under load.
    #[serde(default)]
    pub fault: Vec<FaultWords>,
}

/// A fault that the team declares: what may be killed is theirs to say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultWords {
    /// Its name on the command line: `--fault "target:NAME@2s for 1s"`.
    pub name: String,
    /// Begins it.
    pub inject: String,
    /// Ends it; the service is whole once `ready` answers.
    pub heal: Option<String>,
}

/// Where the key of a logical operation goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IdempotencyWords {
    /// The name of a header,
    pub(super) header: Option<String>,
    /// or of a field of the body,
    pub(super) body: Option<String>,
    /// or of a query parameter.
    pub(super) query: Option<String>,
    /// What is written there; a template of `key`.
    pub(super) value: Option<String>,
    /// Operations beside `reserve` that may be sent again after no answer: `confirm` and `cancel`,
    /// if the second one has the effect of the first.
    #[serde(default)]
    pub(super) repeatable: Vec<Repeatable>,
}

/// An operation that may be sent again without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Repeatable {
    Confirm,
    Cancel,
}

/// An operation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OperationWords {
    /// Its requests, in order.
    #[schemars(with = "Vec<StepWords>")]
    pub(super) step: Vec<Spanned<StepWords>>,
    /// What gives back what the steps before a failed one may have taken.
    pub(super) on_abort: Option<RequestWords>,
    /// How the answer to `on_abort` says that the seats are free: conditions on its body. Without
    /// them they may stay taken.
    pub(super) released_when: Option<Vec<(String, Comparison, Value)>>,
}

/// A request of an operation, and what its answers mean.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StepWords {
    pub(super) request: RequestWords,
    /// What its answers mean. The first rule that matches decides.
    #[schemars(with = "Vec<RuleWords>")]
    pub(super) answers: Vec<Spanned<RuleWords>>,
    /// Whether an answer that means `next` has set the seats aside: `on_abort` gives them back.
    pub(super) takes_seats: Option<bool>,
    /// Pauses between two polls: `"10ms..640ms"`, the first and the longest.
    pub(super) every: Option<String>,
}

/// A request. Its texts are templates.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestWords {
    /// `GET`, `POST`, `PUT`, `PATCH`, `DELETE`, ...
    pub(super) method: String,
    /// The path after the base URL, with its query. It begins with a slash.
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// A JSON body. A text that is one expression keeps the type of its value.
    pub(super) json: Option<Value>,
    /// A file beside the target file, with names in it like `json`.
    pub(super) json_file: Option<String>,
    /// The fields of a form.
    pub(super) form: Option<BTreeMap<String, String>>,
}

/// What an answer means. The first rule of a step that matches decides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleWords {
    /// A status, or a list of them.
    pub(super) status: StatusWords,
    /// Conditions on the body: `[path, operator, value]`.
    #[serde(default)]
    pub(super) when: Vec<(String, Comparison, Value)>,
    pub(super) means: Meaning,
    /// What is taken from the answer.
    #[serde(default)]
    pub(super) capture: BTreeMap<String, CaptureWords>,
    /// Why, for what is no success: a capture.
    pub(super) reason: Option<CaptureWords>,
    /// For `poll`: what asks for the decision.
    pub(super) request: Option<RequestWords>,
    /// For `poll`: what the answers to that mean; the rules of the step unless given.
    #[schemars(with = "Option<Vec<RuleWords>>")]
    pub(super) answers: Option<Vec<Spanned<RuleWords>>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum StatusWords {
    One(#[schemars(range(min = 100, max = 599))] u16),
    Several(#[schemars(inner(range(min = 100, max = 599)))] Vec<u16>),
}

impl StatusWords {
    pub(super) fn all(&self) -> &[u16] {
        match self {
            Self::One(status) => std::slice::from_ref(status),
            Self::Several(several) => several,
        }
    }
}

/// How a value of the body is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum Comparison {
    /// Some value at the path is this one.
    #[serde(rename = "==")]
    Is,
    /// No value at the path is this one.
    #[serde(rename = "!=")]
    IsNot,
    /// Some value at the path is one of these.
    #[serde(rename = "in")]
    In,
    /// Some text at the path matches this regular expression.
    #[serde(rename = "matches")]
    Matches,
    /// There is a value at the path (`true`), or none (`false`).
    #[serde(rename = "exists")]
    Exists,
}

/// What an answer means for the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// The operation succeeded.
    Ok,
    /// It was refused because no seats were free.
    SoldOut,
    /// It was refused, and changed nothing.
    Rejected,
    /// It was refused for now, and changed nothing.
    Throttled,
    /// It may have happened or not.
    Unknown,
    /// The next step goes on.
    Next,
    /// The operation begins again from its first step.
    Again,
    /// It was accepted, and another request asks for the decision.
    Poll,
}

impl Meaning {
    /// As the file says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::SoldOut => "sold_out",
            Self::Rejected => "rejected",
            Self::Throttled => "throttled",
            Self::Unknown => "unknown",
            Self::Next => "next",
            Self::Again => "again",
            Self::Poll => "poll",
        }
    }
}

/// Where a value is taken from: `$.path`, `header:Name`, `header:Name:regex`, `regex:$.path:regex`,
/// `cookie:NAME`, `body:regex`, or a table for what has to be translated.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum CaptureWords {
    Text(String),
    Map(MapWords),
    Count(CountWords),
    Sum(SumWords),
    Times(TimesWords),
    /// A number that does not depend on the answer.
    Fixed(i64),
}

/// A word at a path that stands for another value.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MapWords {
    pub(super) path: String,
    pub(super) map: BTreeMap<String, Value>,
}

/// How many values a path has.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CountWords {
    pub(super) count: String,
}

/// The sum of the numbers at some paths.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SumWords {
    pub(super) sum: Vec<String>,
}

/// A number at a path, in another unit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TimesWords {
    pub(super) path: String,
    pub(super) times: i64,
}

/// What an API does not promise, or does not say in its answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// What a key that was sent again is answered.
    pub replays: Option<Replays>,
    /// How long a booking is held that is not confirmed, in milliseconds, where answers do not say
    /// it; 0 is for ever.
    pub hold_ms: Option<u64>,
    /// How long after the end of a hold its seats can be bought again at the latest, in
    /// milliseconds: 2,000 where nothing is said.
    pub swept_within_ms: Option<u64>,
    /// How old a read may be, in milliseconds.
    pub stale_ms: Option<u64>,
}

/// What is kept by an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replays {
    /// Receipts and refusals.
    All,
    /// Receipts alone; a refused key is decided anew.
    Ok,
    /// Nothing: each request is a new one.
    None,
}
