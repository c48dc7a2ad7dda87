//! A list from which steps are taken out, and put back in the opposite order.

/// Steps in some order, of which any can be taken out, and be put back in the opposite order.
pub(super) struct Chain {
    next: Vec<u32>,
    before: Vec<u32>,
}

impl Chain {
    pub(super) fn of(order: &[u32], length: usize) -> Self {
        let end = length as u32;
        let mut chain = Self { next: vec![end; length + 1], before: vec![end; length + 1] };
        let mut last = end;
        for place in order {
            chain.next[last as usize] = *place;
            chain.before[*place as usize] = last;
            last = *place;
        }
        chain.next[last as usize] = end;
        chain.before[end as usize] = last;
        chain
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.after(self.next.len() as u32 - 1)
    }

    pub(super) fn after(&self, place: u32) -> Option<u32> {
        let next = self.next[place as usize];
        (next as usize != self.next.len() - 1).then_some(next)
    }

    pub(super) fn take_out(&mut self, place: u32) {
        let (before, next) = (self.before[place as usize], self.next[place as usize]);
        self.next[before as usize] = next;
        self.before[next as usize] = before;
    }

    pub(super) fn put_back(&mut self, place: u32) {
        let (before, next) = (self.before[place as usize], self.next[place as usize]);
        self.next[before as usize] = place;
        self.before[next as usize] = place;
    }
}
