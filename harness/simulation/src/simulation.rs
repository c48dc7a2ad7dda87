//! The run: events in the order of a virtual clock, from the first call to the final rows.
//!
//! Beside the service runs its twin, which has no bug and decides the same calls at the same
//! instants. The first answer that arrives and differs from the twin's is the first by which any
//! client could know of the bug: what all clients were told before is what a lawful service can
//! have told them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::{Action, AuditRecord, EndState, Operation, Outcome, Seen};

use crate::{
    Settings, Telling,
    client::Client,
    service::{Answer, Counter, Request, SWEEP_NS, Service},
    settings::Crash,
};

const MS: u64 = 1_000_000;
/// The clock does not begin at 0, because its zero means nothing.
const BEGIN_NS: u64 = 5_000 * MS;
/// When a client that was not answered gives up.
const TIMEOUT_MS: u64 = 30;
/// How long the settled service is waited for at most: holds that last longer stay.
const SETTLE_MS: u64 = 10_000;

/// What a simulated run leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// The history, in the order of returns: the load, then the probes.
    pub operations: Vec<Operation>,
    /// The audit log.
    pub audit: Vec<AuditRecord>,
    /// The rows after the run had settled, with an announcement of each record.
    pub end: EndState,
    /// Seats of each slot at the beginning.
    pub capacity: i64,
    /// The client that probed each slot after the run had settled.
    pub prober: u64,
    /// How often the bug changed what is stored or what was to be answered.
    pub strikes: u64,
    /// The first operation whose answer arrived and differs from what a lawful service would have
    /// answered. Absent: the history is that of a lawful service, and no client can know of a bug.
    pub first_revealed: Option<usize>,
}

/// Simulates a run.
pub fn simulate(settings: &Settings, seed: u64) -> Simulated {
    let mut world = World::new(settings, seed);
    world.load();
    world.settle();
    world.probe();
    Simulated {
        end: world.service.end_state(world.now_ns),
        audit: world.service.log_so_far().to_vec(),
        capacity: settings.capacity.into(),
        prober: world.prober(),
        strikes: world.service.strikes,
        first_revealed: world.first_revealed,
        operations: world.operations,
    }
}

/// What happens at an instant.
#[derive(Debug)]
enum Event {
    /// A client sends its next call.
    Send { client: usize },
    /// The service looks at a call.
    Look { call: usize },
    /// The service decides a call by what it had read.
    Write { call: usize, counter: Counter },
    /// A client hears an answer, or gives up.
    Return { call: usize },
    /// The service looks for holds that have run out.
    Sweep,
}

/// A call in flight.
#[derive(Debug)]
struct Call {
    client: usize,
    process: u64,
    request: Request,
    sent_ns: u64,
    /// What the service decided, and whether its twin decided otherwise.
    decided: Option<(Answer, bool)>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is answered.
    Answered,
    /// It is refused before the service looks at it.
    Throttled,
    /// It is decided or not, and not answered.
    Lost,
    /// It is over: whatever comes is not heard.
    Over,
}

struct World<'a> {
    settings: &'a Settings,
    dice: ChaCha8Rng,
    now_ns: u64,
    service: Service,
    twin: Service,
    clients: Vec<Client>,
    calls: Vec<Call>,
    /// By their instant and then by the order in which they were planned.
    agenda: BinaryHeap<Reverse<(u64, usize)>>,
    events: BTreeMap<usize, Event>,
    planned: usize,
    /// Operations that are yet to be sent.
    left: u32,
    operations: Vec<Operation>,
    first_revealed: Option<usize>,
}

impl<'a> World<'a> {
    fn new(settings: &'a Settings, seed: u64) -> Self {
        let clients = (1..=settings.clients.into()).map(|number| Client::new(number, seed));
        let mut world = Self {
            settings,
            dice: ChaCha8Rng::seed_from_u64(seed),
            now_ns: BEGIN_NS,
            service: Service::new(settings, settings.bug, seed),
            twin: Service::new(settings, None, seed),
            clients: clients.collect(),
            calls: Vec::new(),
            agenda: BinaryHeap::new(),
            events: BTreeMap::new(),
            planned: 0,
            left: settings.operations,
            operations: Vec::new(),
            first_revealed: None,
        };
        for client in 0..world.clients.len() {
            world.rest(client);
        }
        world.plan(BEGIN_NS + SWEEP_NS, Event::Sweep);
        world
    }

    fn plan(&mut self, at_ns: u64, event: Event) {
        self.events.insert(self.planned, event);
        self.agenda.push(Reverse((at_ns, self.planned)));
        self.planned += 1;
    }

    /// The client waits before its next call.
    fn rest(&mut self, client: usize) {
        let think_ns = self.settings.think_ms * MS * 2;
        let wait_ns = self.clients[client].dice.random_range(0..=think_ns);
        self.plan(self.now_ns + wait_ns, Event::Send { client });
    }

    /// Until nothing is left but sweeps.
    fn load(&mut self) {
        while self.events.len() > 1 || self.left > 0 {
            let Reverse((at_ns, number)) = self.agenda.pop().expect("a sweep is always planned");
            self.now_ns = at_ns;
            match self.events.remove(&number).expect("what is on the agenda is planned") {
                Event::Send { client } => self.send(client),
                Event::Look { call } => self.look(call),
                Event::Write { call, counter } => self.decide(call, Some(counter)),
                Event::Return { call } => self.hear(call),
                Event::Sweep => {
                    self.sweep();
                    self.plan(at_ns + SWEEP_NS, Event::Sweep);
                }
            }
        }
    }

    fn sweep(&mut self) {
        self.service.sweep(self.now_ns);
        self.twin.sweep(self.now_ns);
    }

    fn send(&mut self, client: usize) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        if self.settings.crash == Crash::Once && self.left == self.settings.operations * 2 / 5 {
            self.crash();
        }
        let request = self.clients[client].next(self.settings);
        let fate = match self.dice.random_range(0..1_000) {
            roll if roll < self.settings.lost_per_mille => Fate::Lost,
            roll if roll >= 980 && matches!(request.action, Action::Reserve { .. }) => {
                Fate::Throttled
            }
            _ => Fate::Answered,
        };
        let sent_ns = self.now_ns;
        let (decided_ns, returned_ns) = self.instants(fate);
        let process = self.clients[client].process;
        let call = self.calls.len();
        self.calls.push(Call { client, process, request, sent_ns, decided: None, fate });
        if let Some(decided_ns) = decided_ns {
            self.plan(decided_ns, Event::Look { call });
        }
        self.plan(returned_ns, Event::Return { call });
    }

    /// When a call that is sent now is decided, if it is, and when its client stops waiting.
    fn instants(&mut self, fate: Fate) -> (Option<u64>, u64) {
        let sent_ns = self.now_ns;
        if fate == Fate::Lost {
            let returned_ns = sent_ns + TIMEOUT_MS * MS;
            let decided_ns = match self.dice.random_range(0..4) {
                0 => None,
                1 => Some(returned_ns + self.dice.random_range(0..150 * MS)),
                _ => Some(self.dice.random_range(sent_ns..=returned_ns)),
            };
            return (decided_ns, returned_ns);
        }
        let micros = match self.dice.random_range(0..1_000) {
            roll if roll < self.settings.slow_per_mille => 40_000..300_000,
            roll if roll < 300 => 3_000..12_000,
            _ => 300..3_000,
        };
        let returned_ns = sent_ns + self.dice.random_range(micros) * 1_000;
        (Some(self.dice.random_range(sent_ns..=returned_ns)), returned_ns)
    }

    fn look(&mut self, call: usize) {
        let Call { request, sent_ns, fate, .. } = &self.calls[call];
        if *fate == Fate::Over {
            return;
        }
        if *fate != Fate::Throttled
            && let Some(counter) = self.service.reads_first(request)
        {
            // A lost update takes as long again as the call took so far.
            let took_ns = (self.now_ns - sent_ns).min(3 * MS);
            let later_ns = self.dice.random_range(0..=took_ns);
            self.plan(self.now_ns + later_ns, Event::Write { call, counter });
            return;
        }
        self.decide(call, None);
    }

    fn decide(&mut self, call: usize, counter: Option<Counter>) {
        let Call { request, fate, .. } = &self.calls[call];
        let now_ns = self.now_ns;
        let (answer, right) = match (*fate, counter) {
            (Fate::Over, _) => return,
            (Fate::Throttled, _) => {
                (self.service.throttle(request, now_ns), self.twin.throttle(request, now_ns))
            }
            (Fate::Answered | Fate::Lost, Some(counter)) => (
                self.service.decide_by(request, counter, now_ns),
                self.twin.decide(request, now_ns),
            ),
            (Fate::Answered | Fate::Lost, None) => {
                (self.service.decide(request, now_ns), self.twin.decide(request, now_ns))
            }
        };
        let told = |answer| told(answer, &request.action, self.settings.telling);
        let (answer, right) = (told(answer), told(right));
        let differs = answer != right;
        self.calls[call].decided = Some((answer, differs));
    }

    fn hear(&mut self, number: usize) {
        let call = &mut self.calls[number];
        let (client, answered) =
            (call.client, matches!(call.fate, Fate::Answered | Fate::Throttled));
        if answered && call.decided.is_none() {
            // The write of a lost update is still to come.
            self.plan(self.now_ns + MS, Event::Return { call: number });
            return;
        }
        if call.fate == Fate::Over {
            return;
        }
        // A lost call may still be decided.
        if answered {
            call.fate = Fate::Over;
        }
        let heard = call.decided.take().filter(|_| answered);
        let request = call.request.clone();
        self.clients[client].hear(&request, heard.as_ref().map(|(answer, _)| answer));
        self.record(number, heard);
        self.rest(client);
    }

    fn record(&mut self, call: usize, heard: Option<(Answer, bool)>) {
        let Call { client, process, request, sent_ns, .. } = &self.calls[call];
        let client = self.clients.get(*client).map_or(self.prober(), |client| client.number);
        let slot = self.service.name(request.slot);
        let action = request.action.clone();
        let mut operation = Operation::new(client, slot, action, *sent_ns, self.now_ns);
        operation.process = *process;
        match heard {
            None => {
                operation.outcome = Outcome::Unknown;
                operation.reason = Some("timeout".into());
            }
            Some((Answer { outcome, reason, seen }, differs)) => {
                operation.outcome = outcome;
                operation.reason = reason.map(|code| code.name().into());
                operation.seen = seen;
                if differs && self.first_revealed.is_none() {
                    self.first_revealed = Some(self.operations.len());
                }
            }
        }
        self.operations.push(operation);
    }

    /// The service stops and comes back at once: every call in flight is broken off.
    fn crash(&mut self) {
        self.service.crash();
        let returns = self.events.values().filter_map(|event| match event {
            Event::Return { call } => Some(*call),
            Event::Send { .. } | Event::Look { .. } | Event::Write { .. } | Event::Sweep => None,
        });
        let waiting: BTreeSet<usize> = returns.collect();
        for call in &mut self.calls {
            call.fate = Fate::Over;
        }
        for number in waiting {
            let Call { client, ref request, .. } = self.calls[number];
            self.clients[client].hear(request, None);
            self.record(number, None);
            self.rest(client);
        }
        self.events.retain(|_, event| matches!(event, Event::Send { .. } | Event::Sweep));
        self.agenda.retain(|Reverse((_, number))| self.events.contains_key(number));
    }

    /// Waits until every hold has run out and was swept.
    fn settle(&mut self) {
        let last_ns = self.now_ns + SETTLE_MS * MS;
        let over_ns = self.service.last_hold_over_ns().filter(|over_ns| *over_ns <= last_ns);
        let settled_ns = over_ns.unwrap_or(self.now_ns).max(self.now_ns) + 2 * SWEEP_NS;
        while self.now_ns < settled_ns {
            self.now_ns += SWEEP_NS;
            self.sweep();
        }
    }

    fn prober(&self) -> u64 {
        u64::from(self.settings.clients) + 1_000
    }

    /// Reserves a seat of each slot, one after the other.
    fn probe(&mut self) {
        for slot in 0..self.settings.slots as usize {
            let key = format!("probe-{slot}");
            let action = Action::Reserve { seats: 1, key: key.into() };
            let request = Request { client: self.prober(), slot, action };
            let call = Call {
                client: usize::MAX,
                process: self.prober(),
                request,
                sent_ns: self.now_ns,
                decided: None,
                fate: Fate::Answered,
            };
            self.calls.push(call);
            let number = self.calls.len() - 1;
            self.now_ns += MS / 2;
            self.decide(number, None);
            self.now_ns += MS / 2;
            let heard = self.calls[number].decided.take();
            self.record(number, heard);
            self.now_ns += MS;
        }
    }
}

/// What of an answer is said.
fn told(answer: Answer, action: &Action, telling: Telling) -> Answer {
    let Answer { outcome, reason, seen } = answer;
    let reads = matches!(action, Action::Read);
    let seen = Seen {
        version: seen.version.filter(|_| telling.versions()),
        available: seen.available.filter(|_| telling.versions() || reads),
        pending: seen.pending.filter(|_| telling.parts()),
        confirmed: seen.confirmed.filter(|_| telling.parts()),
        capacity: seen.capacity.filter(|_| telling.parts()),
        booking: seen.booking,
        hold_ms: seen.hold_ms,
        status: seen.status,
    };
    Answer { outcome, reason, seen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bug, Shape};

    #[test]
    fn a_lawful_run_has_everything_that_a_checker_must_bear() {
        for shape in Shape::ALL {
            let settings = shape.settings();
            let run = simulate(&settings, 7);
            let outcomes: BTreeSet<Outcome> = run.operations.iter().map(|it| it.outcome).collect();
            assert!(outcomes.len() >= 4, "{shape:?}: {outcomes:?}");
            assert_eq!((run.strikes, run.first_revealed), (0, None), "{shape:?}");
            let made = run.operations.len() as u32;
            assert_eq!(made, settings.operations + settings.slots, "{shape:?}");
        }
    }

    #[test]
    fn a_client_has_one_operation_in_flight_and_a_new_process_after_an_unknown_one() {
        for shape in Shape::ALL {
            let run = simulate(&shape.settings(), 8);
            let mut last: BTreeMap<u64, &Operation> = BTreeMap::new();
            for operation in &run.operations {
                if let Some(before) = last.insert(operation.client, operation) {
                    assert!(before.returned_ns <= operation.sent_ns, "{shape:?}");
                    let retired = before.outcome == Outcome::Unknown;
                    assert_eq!(before.process != operation.process, retired, "{shape:?}");
                }
            }
        }
    }

    #[test]
    fn every_bug_strikes_and_is_revealed_in_some_run() {
        for bug in Bug::ALL {
            for telling in [Telling::SeatsInReads, Telling::VersionsAndParts] {
                let settings = Settings::of_bug(*bug, telling);
                let runs: Vec<Simulated> = (1..=10).map(|seed| simulate(&settings, seed)).collect();
                let struck = runs.iter().filter(|run| run.strikes > 0).count();
                let revealed = runs.iter().filter(|run| run.first_revealed.is_some());
                assert!(struck > 0 && revealed.count() > 0, "{}: {struck}", bug.name());
                let silent = |run: &Simulated| run.strikes == 0 && run.first_revealed.is_some();
                assert!(!runs.iter().any(silent), "{}: revealed before it struck", bug.name());
            }
        }
    }
}
