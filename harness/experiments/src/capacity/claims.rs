//! The claims file: a team's estimates as data. Read whole before anything is begun.

use std::{fmt, fs, ops::Range, path::Path, str::FromStr};

use serde::Deserialize;
use slotproof_reports::capacity::Objective;
use slotproof_vocabulary::{Plan, PlanArgs, Rate, ScenarioKind, Span, StrategyKind, UsageError};
use toml::Spanned;

use crate::input::line_of;

/// Estimates, and the load by which they are judged.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The file, as its reader wrote it.
    file: String,
    /// The line of `[load]`, or 1.
    load_line: usize,
    /// The strategy that is measured; `None` of a target.
    pub strategy: Option<StrategyKind>,
    /// The load, without its rate.
    pub words: PlanArgs,
    /// What a rate has to keep.
    pub objective: Objective,
    /// What a machine costs, for claims about cost.
    pub price: Option<Price>,
    /// The lines of the estimates.
    pub claims: Vec<Claim>,
}

/// What a node costs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Price of a machine for an hour.
    pub per_node_hour: f64,
    /// Its currency.
    pub currency: String,
    /// Where it comes from.
    pub source: String,
}

/// One line. Keys that it does not have are refused by [`known`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Claim {
    /// Its name in the report.
    pub id: String,
    /// The line of the estimates, word for word.
    pub says: String,
    /// Where it comes from.
    pub source: Option<String>,
    /// The machine that it is about, where it says which.
    #[serde(flatten)]
    pub machine: ClaimedMachine,
    /// What it claims.
    #[serde(flatten)]
    pub kind: ClaimKind,
    /// The line of its file on which it begins.
    #[serde(skip)]
    pub line: usize,
}

/// The machine that a claim about throughput, users or latency names: "a server" says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
pub struct ClaimedMachine {
    /// CPUs.
    pub cores: Option<u32>,
    /// Memory.
    pub memory: Option<Bytes>,
    /// What Slotproof measures on it.
    pub calibration: Option<ClaimedCalibration>,
}

/// Figures of the report of a capacity run on the claimed machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimedCalibration {
    /// Durable commits per second of one connection.
    pub durable_commits_per_s: Option<f64>,
    /// Steps per second of one core.
    pub single_core_per_s: Option<f64>,
}

impl ClaimedMachine {
    /// Whether the claim says anything about it.
    pub fn is_named(&self) -> bool {
        *self != Self::default()
    }
}

/// What is estimated.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ClaimKind {
    /// So many requests per second, which are operations.
    Throughput {
        /// Requests per second.
        rate: Rate,
        /// On so many nodes; 1 is this machine's like.
        #[serde(default)]
        nodes: Option<u32>,
    },
    /// So many people at once, each of whom takes so long between two visits.
    Users {
        /// Users.
        users: u64,
        /// Time between two requests of a user.
        think: Span,
        #[serde(default)]
        /// Machines that it is about.
        nodes: Option<u32>,
    },
    /// So quick at such a rate of requests.
    Latency {
        /// Requests per second.
        rate: Rate,
        /// 99th percentile of response time.
        p99: Span,
    },
    /// Data up to so many bytes.
    Size {
        /// Size of the database.
        bytes: Bytes,
    },
    /// One strategy confirms more bookings per second than another.
    Better {
        /// The strategy that is claimed about.
        strategy: StrategyKind,
        /// The strategy that it is compared with.
        than: StrategyKind,
        /// Clients of one slot.
        clients: u32,
    },
    /// A strategy makes connections wait for locks.
    Contention {
        /// The strategy that is claimed about.
        strategy: StrategyKind,
        /// Clients of one slot.
        clients: u32,
    },
    /// A strategy has to try again.
    Retries {
        /// The strategy that is claimed about.
        strategy: StrategyKind,
        /// Clients of one slot.
        clients: u32,
    },
    /// After a crash of the database it is back within this time, with nothing acknowledged lost.
    Recovery {
        /// Time until the service answers again.
        rto: Span,
        /// Time whose bookings may be lost.
        rpo: Span,
    },
}

/// Bytes: `100GB`, `1PiB`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes(pub f64);

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a number of bytes; write 100GB or 64GiB");
        let digits = text.trim_end_matches(char::is_alphabetic);
        let number: f64 = digits.parse().map_err(|_| wrong())?;
        let unit = match &text[digits.len()..] {
            "B" => 1.0,
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            "PB" => 1e15,
            "MiB" => 2_f64.powi(20),
            "GiB" => 2_f64.powi(30),
            "TiB" => 2_f64.powi(40),
            "PiB" => 2_f64.powi(50),
            _ => return Err(wrong()),
        };
        (number > 0.0).then_some(Self(number * unit)).ok_or_else(wrong)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")];
        let whole = units.into_iter().find(|(unit, _)| self.0 % unit == 0.0);
        let (unit, name) = whole.unwrap_or((1.0, "B"));
        write!(f, "{}{name}", self.0 / unit)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    strategy: Option<StrategyKind>,
    objective: Spanned<ObjectiveWords>,
    #[serde(default)]
    load: Option<Spanned<PlanArgs>>,
    price: Option<Spanned<Price>>,
    #[serde(default)]
    claim: Vec<Spanned<toml::Table>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectiveWords {
    p99: Span,
    errors: f64,
}

impl ClaimKind {
    /// Whether it is about what only the reference service has: strategies, a database that can be
    /// filled, faults.
    pub(super) fn is_of_the_reference_service(&self) -> bool {
        match self {
            Self::Throughput { .. } | Self::Users { .. } | Self::Latency { .. } => false,
            Self::Size { .. }
            | Self::Better { .. }
            | Self::Contention { .. }
            | Self::Retries { .. }
            | Self::Recovery { .. } => true,
        }
    }
}

impl Claims {
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn read(path: &Path) -> Result<Self, UsageError> {
        let text = fs::read_to_string(path).map_err(|error| {
            UsageError(format!(
                "failed to read {}: {error}; --claims names the file",
                path.display()
            ))
        })?;
        let wrong =
            |reason| UsageError(format!("{} is not a file of claims: {reason}", path.display()));
        let claims = Self::parse(&text).map_err(wrong)?;
        Ok(Self { file: path.display().to_string(), ..claims })
    }

    /// The same about a target: without a strategy.
    ///
    /// # Errors
    /// The file names one.
    pub fn of_target(self) -> Result<Self, UsageError> {
        match self.strategy {
            None => Ok(self),
            Some(strategy) => Err(UsageError(format!(
                "{}: strategy = \"{strategy}\" is of the reference service; leave it out for a \
                 target",
                self.file
            ))),
        }
    }

    /// The same about the reference service: with a strategy.
    ///
    /// # Errors
    /// The file names none.
    pub fn of_reference(self) -> Result<Self, UsageError> {
        match self.strategy {
            Some(_) => Ok(self),
            None => Err(UsageError(format!(
                "{}: strategy is missing; name the one that is measured, or a --target",
                self.file
            ))),
        }
    }

    /// What a claim asks for that no plan can be made of, with its line.
    pub(super) fn refuse(&self, line: usize, reason: &str) -> UsageError {
        UsageError(format!("{}: line {line}: {reason}", self.file))
    }

    /// The same about the load.
    pub(super) fn refuse_load(&self, reason: &str) -> UsageError {
        self.refuse(self.load_line, reason)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let words: Words = toml::from_str(text).map_err(|error| error.to_string())?;
        let at = |span: Range<usize>| format!("line {}", line_of(text, span.start));
        if words.claim.is_empty() {
            return Err(
                "it has no [[claim]]; add one, or use --rate to search without claims".to_owned()
            );
        }
        let place = at(words.objective.span());
        let ObjectiveWords { p99, errors } = words.objective.into_inner();
        if p99.ms() == 0 || !(0.0..=1.0).contains(&errors) {
            return Err(format!(
                "{place}: the objective cannot be met by anybody, or means nothing; write p99 = \"500ms\" and errors = 0.01"
            ));
        }
        let mut claims: Vec<Claim> = Vec::new();
        for spanned in words.claim {
            let line = line_of(text, spanned.span().start);
            let place = format!("line {line}");
            let table = spanned.into_inner();
            known(&table).map_err(|reason| format!("{place}: {reason}"))?;
            let mut claim: Claim = table
                .try_into()
                .map_err(|error: toml::de::Error| format!("{place}: {}", error.message()))?;
            claim.line = line;
            if claims.iter().any(|other| other.id == claim.id) {
                return Err(format!("{place}: there is another claim with the id {:?}", claim.id));
            }
            sensible(&claim.kind)
                .and_then(|()| sensible_machine(&claim.machine))
                .map_err(|reason| format!("{place}: {reason}"))?;
            claims.push(claim);
        }
        let price = match words.price {
            Some(price) if price.get_ref().per_node_hour <= 0.0 => {
                return Err(format!(
                    "{}: per_node_hour must be more than nothing",
                    at(price.span())
                ));
            }
            price => price.map(Spanned::into_inner),
        };
        let load_line = words.load.as_ref().map_or(1, |load| line_of(text, load.span().start));
        let claims = Self {
            file: String::new(),
            load_line,
            strategy: words.strategy,
            words: words.load.map(Spanned::into_inner).unwrap_or_default(),
            objective: Objective { p99_ms: p99.ms(), errors_max: errors },
            price,
            claims,
        };
        // Whether the windows of the search are long enough for a spike is seen once they are known.
        claims
            .plan(Rate::of_per_s(1.0).expect("a rate"), Span::of_ms(3_600_000), Span::of_ms(0))
            .map_err(|error| format!("line {load_line}: {error}"))?;
        Ok(claims)
    }

    /// Every strategy that is measured.
    pub fn strategies(&self) -> Vec<StrategyKind> {
        let of_claims = self.claims.iter().flat_map(|claim| match claim.kind {
            ClaimKind::Better { strategy, than, .. } => vec![strategy, than],
            ClaimKind::Contention { strategy, .. } | ClaimKind::Retries { strategy, .. } => {
                vec![strategy]
            }
            _ => Vec::new(),
        });
        self.strategy.into_iter().chain(of_claims).collect()
    }

    /// The load at a rate of visits.
    ///
    /// # Errors
    /// Words of the load that make no plan.
    pub fn plan(&self, rate: Rate, duration: Span, warm_up: Span) -> Result<Plan, String> {
        let words = PlanArgs {
            strategy: self.strategy,
            scenario: self.words.scenario.or(Some(ScenarioKind::Steady)),
            rate: Some(slotproof_vocabulary::Ramp::flat(rate)),
            duration: Some(duration),
            warm_up: Some(warm_up),
            ..self.words.clone()
        };
        Plan::try_from(words).map_err(|error| format!("[load] cannot be run: {error}"))
    }
}

/// `flatten` and `deny_unknown_fields` do not go together: a key that a kind does not have is
/// refused here.
fn known(table: &toml::Table) -> Result<(), String> {
    let kind = table.get("kind").and_then(toml::Value::as_str).unwrap_or_default();
    let machine: &[&str] = match kind {
        "throughput" | "users" | "latency" => &["cores", "memory", "calibration"],
        _ => &[],
    };
    let own: &[&str] = match kind {
        "throughput" => &["rate", "nodes"],
        "users" => &["users", "think", "nodes"],
        "latency" => &["rate", "p99"],
        "size" => &["bytes"],
        "better" => &["strategy", "than", "clients"],
        "contention" | "retries" => &["strategy", "clients"],
        "recovery" => &["rto", "rpo"],
        other => {
            return Err(format!(
                "a claim of the kind {other:?} is not known; it is one of throughput, users, latency, size, better, contention, retries, recovery"
            ));
        }
    };
    let allowed = |key: &str| {
        ["id", "says", "source", "kind"].contains(&key)
            || own.contains(&key)
            || machine.contains(&key)
    };
    match table.keys().find(|key| !allowed(key)) {
        Some(key) => Err(format!(
            "unknown key `{key}`; a claim of the kind {kind} has {}",
            [own, machine].concat().join(", ")
        )),
        None => Ok(()),
    }
}

fn sensible(kind: &ClaimKind) -> Result<(), String> {
    match kind {
        ClaimKind::Throughput { rate, .. } | ClaimKind::Latency { rate, .. }
            if rate.per_s() <= 0.0 =>
        {
            Err("a rate of nothing is kept by everybody; write 1000/s".to_owned())
        }
        ClaimKind::Throughput { nodes: Some(0), .. } | ClaimKind::Users { nodes: Some(0), .. } => {
            Err("nodes must be 1 at least; leave it out if it is not known".to_owned())
        }
        ClaimKind::Users { users: 0, .. } => Err("users must be 1 at least".to_owned()),
        ClaimKind::Better { clients, .. }
        | ClaimKind::Contention { clients, .. }
        | ClaimKind::Retries { clients, .. }
            if *clients < 2 || Plan::clients_in_range(*clients).is_err() =>
        {
            Err(format!("clients must be 2 to {}", Plan::CLIENTS_MAX))
        }
        _ => Ok(()),
    }
}

fn sensible_machine(machine: &ClaimedMachine) -> Result<(), String> {
    if machine.cores == Some(0) {
        return Err("cores must be 1 at least; leave it out if it is not known".to_owned());
    }
    match machine.calibration {
        Some(ClaimedCalibration { durable_commits_per_s: None, single_core_per_s: None }) => {
            Err("calibration says nothing; write durable_commits_per_s, single_core_per_s, or both"
                .to_owned())
        }
        Some(ClaimedCalibration { durable_commits_per_s, single_core_per_s })
            if durable_commits_per_s
                .into_iter()
                .chain(single_core_per_s)
                .any(|it| it.is_nan() || it <= 0.0) =>
        {
            Err("a calibration must be more than 0".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "strategy = \"pessimistic\"\nobjective = { p99 = \"500ms\", errors = 0.01 }\n";

    #[test]
    fn the_claims_of_this_repository_can_be_read() {
        let claims = Claims::parse(include_str!("../../../../ci/claims/system-design.toml"))
            .expect("they are claims");
        assert!(claims.claims.len() >= 8 && claims.price.is_some());
    }

    #[test]
    fn a_claim_names_its_machine_or_none() {
        let text = format!(
            "{HEAD}[[claim]]\nid = \"a\"\nsays = \"b\"\nkind = \"throughput\"\nrate = \"5/s\"\ncores = 8\nmemory = \"32GB\"\ncalibration = {{ durable_commits_per_s = 4000, single_core_per_s = 3.5e8 }}\n"
        );
        let claims = Claims::parse(&text).expect("it can be read");
        let machine = claims.claims[0].machine;
        assert!(machine.is_named() && claims.claims[0].line == 3);
        assert_eq!((machine.cores, machine.memory), (Some(8), Some(Bytes(32e9))));
        assert_eq!(machine.calibration.and_then(|it| it.single_core_per_s), Some(3.5e8));
        let text = format!(
            "{HEAD}[[claim]]\nid = \"a\"\nsays = \"b\"\nkind = \"throughput\"\nrate = \"5/s\"\n"
        );
        assert!(!Claims::parse(&text).expect("it can be read").claims[0].machine.is_named());
    }

    #[test]
    fn bytes_are_written_as_they_are_read() {
        for text in ["5GB", "400MB", "1PB", "1500MB", "12345B"] {
            assert_eq!(text.parse::<Bytes>().expect(text).to_string(), text);
        }
        assert_eq!("1GiB".parse::<Bytes>().expect("a size").to_string(), "1073741824B");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_to_write() {
        let claim = |rest: &str| format!("{HEAD}[[claim]]\nid = \"a\"\nsays = \"b\"\n{rest}");
        let cases = [
            (HEAD.to_owned(), "no [[claim]]"),
            (claim("kind = \"speed\"\n"), "line 3: a claim of the kind \"speed\" is not known"),
            (claim("kind = \"throughput\"\nrate = \"fast\"\n"), "write 800/s"),
            (claim("kind = \"throughput\"\nrate = \"5/s\"\nnode = 1\n"), "unknown key `node`"),
            (claim("kind = \"users\"\nusers = 0\nthink = \"1s\"\n"), "1 at least"),
            (claim("kind = \"size\"\nbytes = \"100 elephants\"\n"), "write 100GB"),
            (claim("kind = \"throughput\"\nrate = \"0/s\"\n"), "write 1000/s"),
            (claim("kind = \"size\"\nbytes = \"1GB\"\ncores = 2\n"), "unknown key `cores`"),
            (claim("kind = \"throughput\"\nrate = \"5/s\"\ncores = 0\n"), "line 3: cores"),
            (
                claim("kind = \"throughput\"\nrate = \"5/s\"\ncalibration = {}\n"),
                "line 3: calibration says nothing",
            ),
            (
                claim(
                    "kind = \"latency\"\nrate = \"5/s\"\np99 = \"1s\"\ncalibration = { single_core_per_s = -1.0 }\n",
                ),
                "line 3: a calibration must be more",
            ),
            (
                claim("kind = \"users\"\nusers = 5\nthink = \"1s\"\ncalibration = { cores = 3 }\n"),
                "cores",
            ),
            (
                claim("kind = \"retries\"\nstrategy = \"optimistic\"\nclients = 10001\n"),
                "line 3: clients must be 2 to 10000",
            ),
            (
                claim("kind = \"size\"\nbytes = \"1GB\"\n[load]\nthink = \"1s\"\n"),
                "line 8: [load] cannot be run",
            ),
            (
                claim("kind = \"size\"\nbytes = \"1GB\"\n").replace("500ms", "0s"),
                "line 2: the objective",
            ),
            (claim("kind = \"size\"\nbytes = \"1GB\"\n").replace("errors", "errers"), "errers"),
        ];
        for (text, said) in cases {
            let error = Claims::parse(&text).expect_err(&text);
            assert!(error.contains(said), "{error}\ndoes not say {said:?}");
        }
    }
}
