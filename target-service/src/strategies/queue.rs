//! # queue
//!
//! **Claim.** Never overbooks, and decides each request once, however often it is delivered.
//!
//! **Mechanism.** The request is published with a publisher confirm, then answered with 202. A
//! worker decides it as `conditional` does, and leaves a receipt also when there are no seats; the
//! receipt's unique key makes a second delivery find the first decision. The client polls by `GET`
//! of the same address with the same key until there is a receipt.
//!
//! **Cost.** A publish with its fsync, a decision with its fsync, and at least one more request for
//! the answer. In return a peak makes a longer queue and not more open transactions: only workers
//! write to slots.
//!
//! **Fails when.** None known. A key that was refused stays refused: a client that tries again
//! needs another one. Without the broker every reserve gets 503 `unavailable`. If a confirm is
//! lost, the client does not know the outcome until it asks for the receipt.
//!
//! **Model.** `models/src/queue.rs`

use async_trait::async_trait;

use crate::{
    queue::Publisher,
    reserve::{ReserveCommand, ReserveError, Reserved, Strategy},
};

pub(crate) struct Queue {
    pub(crate) publisher: Publisher,
}

#[async_trait]
impl Strategy for Queue {
    async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        self.publisher.publish(command).await?;
        Ok(Reserved::Accepted)
    }
}
