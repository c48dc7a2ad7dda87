//! Why shards are not used, and why a bucket is not moved.

/// Why shards are not used, and why a bucket is not moved.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// A shard does not answer, or refuses a statement.
    #[error("the shard {shard} failed: {source}; run the same command again")]
    Database {
        /// Its name.
        shard: String,
        /// Why.
        source: sqlx::Error,
    },
    /// A shard is given with another one's address.
    #[error("the database of shard {given} is that of shard {is}; give each shard its own address")]
    OtherShard {
        /// Its name on the command line.
        given: String,
        /// Its name in the database.
        is: String,
    },
    /// A database that no service was started on.
    #[error("the database of {0} has no shards; start a service with --shard on it first")]
    NotSharded(String),
    /// No shard that is given owns a bucket.
    #[error(
        "no shard owns bucket {bucket}{moving}; give every shard with --shard, or end an \
         interrupted move with slotproof rebalance"
    )]
    NoOwner {
        /// The bucket.
        bucket: u16,
        /// Where it was being moved to.
        moving: String,
    },
    /// Two shards own one bucket: one of them was restored from a backup, say.
    #[error(
        "bucket {bucket} is owned by shard {newer} (epoch {newer_epoch}) and by shard {older} \
         (epoch {older_epoch}); bring shard {older} up to date, or take it out"
    )]
    TwoOwners {
        /// The bucket.
        bucket: u16,
        /// The owner by the epoch.
        newer: String,
        /// Its epoch.
        newer_epoch: i64,
        /// The other one.
        older: String,
        /// Its epoch.
        older_epoch: i64,
    },
    /// A name that is none of theirs.
    #[error("no shard is named {name}; there are {shards}")]
    NoShard {
        /// The name.
        name: String,
        /// The others.
        shards: String,
    },
    /// There is nowhere to move to.
    #[error("{0} is the only shard; give another one with --shard")]
    OnlyShard(String),
    /// Two movers would undo each other's work.
    #[error("another rebalance is running; wait until it has ended")]
    Rebalancing,
    /// Writers keep a bucket: one of them has stopped in the middle.
    #[error(
        "changes of bucket {bucket} in shard {shard} have been under way for {waited} s, and none may \
         be while it moves; nothing was moved; run the same command again"
    )]
    Busy {
        /// The bucket.
        bucket: u16,
        /// Its owner.
        shard: String,
        /// For how long they were waited for.
        waited: u64,
    },
    /// The copy is not what was copied.
    #[error(
        "bucket {bucket} was copied to shard {to}, and {table} differs there ({there} instead of \
         {here}); nothing was moved"
    )]
    CopyDiffers {
        /// The bucket.
        bucket: u16,
        /// Where it was copied to.
        to: String,
        /// The table.
        table: &'static str,
        /// Rows and sum of their hashes at the owner.
        here: String,
        /// The same at the copy.
        there: String,
    },
}

impl ShardError {
    /// Whether it is the request that is wrong, and not a server.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Database { .. }
            | Self::Busy { .. }
            | Self::CopyDiffers { .. }
            | Self::Rebalancing => false,
            Self::OtherShard { .. }
            | Self::NotSharded(_)
            | Self::NoOwner { .. }
            | Self::TwoOwners { .. }
            | Self::NoShard { .. }
            | Self::OnlyShard(_) => true,
        }
    }
}
