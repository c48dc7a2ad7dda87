//! Clients are alike: exchanging two of them changes nothing but their numbers. Of states that
//! differ by that alone, one is enough.
//!
//! The representative is the one with the smallest hash among all numberings of the clients, so
//! that every state of an orbit has the same one. Sound, because no step, no property and no
//! strategy asks for a client's number: `symmetry_changes_no_verdict` compares it with searches
//! without it.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use stateright::Representative;

use crate::{
    call_id::CallId,
    world::{Phase, World},
};

impl Representative for World {
    fn representative(&self) -> Self {
        numberings(self.clients.len())
            .map(|numbers| self.renumbered(&numbers))
            .min_by_key(fingerprint)
            .expect("there is one numbering at least")
    }
}

pub(crate) fn fingerprint(value: &impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// Every way to number the clients: `numbers[old]` is the new number.
fn numberings(clients: usize) -> impl Iterator<Item = Vec<u8>> {
    let clients = u8::try_from(clients).expect("few clients");
    let mut all = vec![Vec::new()];
    for client in 0..clients {
        all = all
            .iter()
            .flat_map(|order: &Vec<u8>| {
                (0..=order.len()).map(move |place| {
                    let mut order = order.clone();
                    order.insert(place, client);
                    order
                })
            })
            .collect();
    }
    all.into_iter()
}

impl World {
    /// The same with other numbers for the clients: `numbers[old]` is the new one.
    fn renumbered(&self, numbers: &[u8]) -> Self {
        let mut next = self.clone();
        next.database = self.database.renumbered(numbers);
        for (old, number) in numbers.iter().enumerate() {
            let mut client = self.clients[old].clone();
            let booking = match &mut client.phase {
                Phase::Holding { booking, .. }
                | Phase::Confirmed { booking }
                | Phase::Cancelled { booking } => Some(booking),
                Phase::Idle
                | Phase::Waiting { .. }
                | Phase::HoldExpired
                | Phase::SoldOut { .. }
                | Phase::RetryLater
                | Phase::Unknown => None,
            };
            if let Some(CallId { client, .. }) = booking {
                *client = numbers[usize::from(*client)];
            }
            next.clients[usize::from(*number)] = client;
        }
        next
    }
}
