//! Synthetic histories: what clients of a service that does everything right would have seen, of
//! any size.

use std::path::Path;

use anyhow::Result;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slotproof_history::OperationsFile;
use slotproof_vocabulary::{Action, Operation, Outcome, Seen};

/// Nanoseconds between two decisions of the service.
const STEP_NS: u64 = 1_000;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Synthetic {
    /// Operations to write.
    pub operations: u64,
    /// Their calls overlap: about half of them are in flight at any time.
    pub clients: u64,
    /// Slots that they are spread over.
    pub slots: u64,
    /// Seats of each slot.
    pub capacity: i64,
    /// Of everything random.
    pub seed: u64,
}

/// A slot as its service sees it.
#[derive(Clone, Default)]
struct Slot {
    taken: i64,
    version: i64,
}

impl Synthetic {
    /// Writes a history, in the binary format of runs.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(self, path: &Path) -> Result<()> {
        let mut out = OperationsFile::new(std::fs::File::create(path)?);
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut slots = vec![Slot::default(); self.slots as usize];
        // What each client holds, if anything: its slot, its seats, its booking.
        let mut held: Vec<Option<(usize, u32, String)>> = vec![None; self.clients as usize];
        // Each client has its turn once a round; its calls are shorter than a round, so that they
        // never overlap.
        let reach_ns = (self.clients * STEP_NS / 2).saturating_sub(1).max(1);
        for number in 0..self.operations {
            let client = number % self.clients;
            let at_ns = (number + self.clients) * STEP_NS;
            let (sent_ns, returned_ns) =
                (at_ns - rng.random_range(0..reach_ns), at_ns + rng.random_range(0..reach_ns));
            let holding = held[client as usize].take();
            let slot = holding
                .as_ref()
                .map_or_else(|| rng.random_range(0..slots.len()), |(slot, _, _)| *slot);
            let state = &mut slots[slot];
            let mut outcome = Outcome::Ok;
            let mut seen = Seen::default();
            let action = match holding {
                Some((_, seats, booking)) if rng.random_bool(0.7) => {
                    state.taken -= i64::from(seats);
                    state.version += 1;
                    Action::Cancel { booking: booking.into() }
                }
                Some(holding) => {
                    held[client as usize] = Some(holding);
                    seen.capacity = Some(self.capacity);
                    Action::Read
                }
                None => {
                    let (seats, key) = (
                        rng.random_range(1..=3_u32),
                        format!("bench-{client:x}-{number:x}").into(),
                    );
                    if state.taken + i64::from(seats) <= self.capacity {
                        state.taken += i64::from(seats);
                        state.version += 1;
                        let booking = format!("00000001-0142-8200-8000-{number:012x}");
                        held[client as usize] = Some((slot, seats, booking.clone()));
                        seen.booking = Some(booking.into());
                    } else {
                        outcome = Outcome::SoldOut;
                    }
                    Action::Reserve { seats, key }
                }
            };
            seen.version = Some(state.version);
            seen.available = Some(self.capacity - state.taken);
            let name = format!("00000001-0142-8100-8000-{slot:012x}");
            let operation = Operation {
                outcome,
                seen,
                ..Operation::new(client, name, action, sent_ns, returned_ns)
            };
            out.write(&operation)?;
        }
        out.end()?;
        Ok(())
    }
}
