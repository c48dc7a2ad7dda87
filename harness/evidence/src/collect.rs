//! After the load: let the service settle, try to buy what is left, and read what the database
//! kept.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_recursion::async_recursion as boxed_future;
use slotproof_scenarios::{
    Client, Clock, LiveOverbooking, RetryPolicy, Site, Target,
    recorder::{Outputs, Writer},
    target::reference,
};
use slotproof_vocabulary::{AuditRecord, EndState, LoadTotals, Plan, Sockets};
use uuid::Uuid;

use crate::{
    EvidenceError, LoadEnd, RunDirectory,
    reference::{Announcements, Holds, ReferenceShards, Slots, Waiting},
};

/// How much longer than a hold the service may need to give its seats back, before they count as
/// leaked.
const SWEEP_WITHIN: Duration = Duration::from_secs(10);
/// Events are announced within a second or two; after a broker was down, within its reconnect.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(40);
/// After so long without a sign an event is lost: longer than any relay or consumer sleeps, ...
const ANNOUNCE_SILENCE: Duration = Duration::from_secs(6);
/// ... and, where the broker or the database was away, longer than any connection takes to be made
/// again.
const ANNOUNCE_SILENCE_AFTER_FAULTS: Duration = Duration::from_secs(20);
/// Sweepers that have swept no hold for so long, while some had run out, will not sweep them any
/// more: they sleep for less than a second.
const STOPPED_AFTER: Duration = Duration::from_secs(5);
/// A broker that was restarted is found again within seconds.
const READY_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// Slots that are probed: enough to find a rule that fails, few enough to be quick.
const PROBES_MAX: usize = 100;

/// What the stack has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Nothing was broken.
    Quiet,
    /// Processes or servers were paused, killed or restarted.
    Faults,
    /// A replay has swept the holds: what is left will not be swept by itself.
    Swept,
}

/// A service that has been loaded, and its database.
pub struct Place<'a> {
    /// The database, or each shard.
    pub database_urls: &'a [&'a str],
    /// Whether the service announces what it commits.
    pub announces: bool,
    /// What it has been through.
    pub past: Past,
    /// Base URLs of the service.
    pub targets: &'a [String],
    /// The slots that were loaded.
    pub slots: &'a [String],
    /// The clock of the history: the probe's operations come after all others on it.
    pub clock: &'a Clock,
}

/// Settles, probes, and writes `audit.jsonl`, `end_state.json` and `load.json`.
///
/// # Errors
/// The database or the service does not answer, or the run cannot be written.
#[boxed_future]
pub async fn collect(
    place: &Place<'_>,
    plan: &Plan,
    mut load: LoadTotals,
    run: &RunDirectory,
) -> Result<(), EvidenceError> {
    let slots = Slots::parse(place.slots)?;
    let mut database = ReferenceShards::connect(place.database_urls).await?;
    ready(place.targets).await;
    let leaked = settle(&mut database, &slots, plan.hold.0, place.past, 0).await?;

    let prober = u64::from(plan.clients());
    load.operations += probe(place, plan, prober, run).await?;
    settle(&mut database, &slots, plan.hold.0, place.past, leaked).await?;

    let (audit, end) = if place.announces {
        announced(&mut database, &slots, place).await?
    } else {
        database.read(&slots, Announcements::Left, place.clock).await?
    };
    run.write_audit(&audit).map_err(EvidenceError::Run)?;
    run.write_json("end_state.json", &end).map_err(EvidenceError::Run)?;
    let load_end = LoadEnd { load, prober, announces: place.announces };
    run.write_json("load.json", &load_end).map_err(EvidenceError::Run)
}

/// Waits until every replica says that it can take requests again, which one whose broker went away
/// cannot. One that never does shows as a probe that is not answered.
async fn ready(targets: &[String]) {
    let deadline = Instant::now() + READY_WITHIN;
    let http = reqwest::Client::new();
    for target in targets {
        while !reference::is_ready(&http, target).await && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Waits until the service has settled, and answers with the number of holds that are left. The
/// checker judges them.
async fn settle(
    database: &mut ReferenceShards,
    slots: &Slots,
    hold: Duration,
    past: Past,
    leaked: i64,
) -> Result<i64, EvidenceError> {
    let mut settling = Settling::begin(hold, past, leaked, Instant::now());
    loop {
        let holds = database.holds(slots).await?;
        if settling.is_over(holds, Instant::now()) {
            return Ok(holds.left);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The wait for sweepers: until no more holds are left than had leaked before, or until sweepers
/// have stopped.
///
/// A sweeper with a backlog has not stopped. After a burst of holds on a slow disk it may need
/// minutes, and none of those holds has leaked.
struct Settling {
    leaked: i64,
    /// Every hold of the load has run out by then, unless the service has its own idea of how long
    /// a hold lasts.
    run_out: Instant,
    stopped_after: Duration,
    left: i64,
    unchanged_since: Instant,
}

impl Settling {
    fn begin(hold: Duration, past: Past, leaked: i64, now: Instant) -> Self {
        let stopped_after = match past {
            Past::Quiet => STOPPED_AFTER,
            Past::Faults => SWEEP_WITHIN,
            Past::Swept => Duration::ZERO,
        };
        let run_out = now + hold + SWEEP_WITHIN;
        Self { leaked, run_out, stopped_after, left: i64::MAX, unchanged_since: now }
    }

    fn is_over(&mut self, Holds { left, to_run_out }: Holds, now: Instant) -> bool {
        let to_come = to_run_out > 0 && now < self.run_out;
        if left != self.left || to_come {
            self.left = left;
            self.unchanged_since = now;
        }
        let stopped = !to_come && now - self.unchanged_since >= self.stopped_after;
        left <= self.leaked || stopped
    }
}

/// Reads again and again until every change has been announced and applied. What is missing when
/// nothing has waited in the outbox, and nothing has been applied, for a long time will not come
/// any more.
async fn announced(
    database: &mut ReferenceShards,
    slots: &Slots,
    place: &Place<'_>,
) -> Result<(Vec<AuditRecord>, EndState), EvidenceError> {
    let silence = match place.past {
        Past::Quiet | Past::Swept => ANNOUNCE_SILENCE,
        Past::Faults => ANNOUNCE_SILENCE_AFTER_FAULTS,
    };
    let begun = Instant::now();
    let mut unchanged = (i64::MAX, Instant::now());
    loop {
        let Waiting { in_outbox, missing } = database.waiting(slots).await?;
        if (missing, in_outbox) != (unchanged.0, 0) {
            unchanged = (missing, Instant::now());
        }
        let lost = missing > 0 && unchanged.1.elapsed() >= silence;
        if missing == 0 || lost || begun.elapsed() >= ANNOUNCE_WITHIN {
            let (audit, end) =
                database.read(slots, Announcements::Made { lost }, place.clock).await?;
            // A change that was committed meanwhile has yet to be announced.
            let late = end.announced.as_ref().is_some_and(|announced| announced.waiting > 0);
            if !late || begun.elapsed() >= ANNOUNCE_WITHIN {
                return Ok((audit, end));
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn probe(
    place: &Place<'_>,
    plan: &Plan,
    prober: u64,
    run: &RunDirectory,
) -> Result<u64, EvidenceError> {
    let target = Target::reference(&place.targets[0], place.slots);
    probe_target(target, place.targets, place.slots, place.clock, plan, prober, run).await
}

/// Reads each slot, reserves a seat of it and gives it back, as one more client whose operations
/// join the history. Answers with their number.
///
/// # Errors
/// The history cannot be written.
pub async fn probe_target(
    target: Target,
    base_urls: &[String],
    slots: &[String],
    clock: &Clock,
    plan: &Plan,
    prober: u64,
    run: &RunDirectory,
) -> Result<u64, EvidenceError> {
    let path = run.file("probe.sph");
    let outputs = Outputs { history: Some(path.clone()), latency: None };
    let (writer, recorder) = Writer::create(outputs)?;
    let site = Arc::new(Site {
        target,
        base_urls: base_urls.to_vec(),
        slots: slots.iter().take(PROBES_MAX).map(|slot| slot.as_str().into()).collect(),
        run: format!("probe-{}", Uuid::new_v4().simple()),
        retry_policy: RetryPolicy::once(plan.timeout.0),
        live_overbooking: LiveOverbooking::new(slots.len(), plan.capacity),
        sockets: Sockets::Shared,
        clock: clock.clone(),
    });
    let mut client = Client::new(Arc::clone(&site), site.connect()?, recorder, prober, prober + 1);
    for slot in 0..site.slots.len() {
        client.read(slot, clock.now_ns()).await;
        let answer = client.reserve(slot, 1, clock.now_ns()).await;
        if let Some(mut held) = answer.held {
            client.cancel(&mut held, clock.now_ns()).await;
        }
    }
    let probed = writer.finish().await?;
    append(&path, &run.history())?;
    Ok(probed)
}

/// A history is a row of frames, so one can be put behind another.
fn append(part: &Path, whole: &Path) -> io::Result<()> {
    io::copy(&mut File::open(part)?, &mut File::options().append(true).open(whole)?)?;
    fs::remove_file(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(1);

    /// How long the wait is if this many holds are left after this many seconds, and how many are
    /// left at its end.
    fn settled(leaked: i64, holds: impl Fn(u64) -> Holds) -> (u64, i64) {
        let begun = Instant::now();
        let mut settling = Settling::begin(HOLD, Past::Quiet, leaked, begun);
        (0..600)
            .find(|&second| settling.is_over(holds(second), begun + Duration::from_secs(second)))
            .map(|second| (second, holds(second).left))
            .expect("the wait ends")
    }

    #[test]
    fn a_backlog_is_waited_for_as_long_as_it_shrinks() {
        let shrinks = |second| Holds { left: 80 - (second / 4) as i64, to_run_out: 0 };
        assert_eq!(settled(0, shrinks), (320, 0));
    }

    #[test]
    fn holds_that_no_sweeper_touches_have_leaked() {
        let stuck = |second: u64| Holds { left: 7.max(10 - second as i64), to_run_out: 0 };
        assert_eq!(settled(0, stuck), (3 + STOPPED_AFTER.as_secs(), 7));
        assert_eq!(settled(7, stuck), (3, 7), "the probes wait for their own holds only");
    }

    #[test]
    fn holds_that_have_time_left_are_waited_for_but_not_for_ever() {
        let runs_out = |second| Holds { left: 3, to_run_out: if second < 6 { 3 } else { 0 } };
        assert_eq!(settled(0, runs_out), (5 + STOPPED_AFTER.as_secs(), 3));
        let endless = |_| Holds { left: 3, to_run_out: 3 };
        assert_eq!(settled(0, endless).0, (HOLD + SWEEP_WITHIN + STOPPED_AFTER).as_secs() - 1);
    }
}
