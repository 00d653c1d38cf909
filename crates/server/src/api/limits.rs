//! How much a client may ask for, and how much all of them may cost together.

use synod_store::Limits as StoreLimits;

/// The metadata of a request takes at most so many bytes, as HTTP/2 counts them: what etcd's clients send by default.
pub(crate) const MAX_METADATA_BYTES: usize = 1024 * 1024;

/// Bounds of the client interface. The defaults of the first two are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A write request, encoded, is at most so many bytes.
    pub max_request_bytes: usize,
    /// A transaction has at most so many conditions, and so many steps in each branch.
    pub max_txn_ops: usize,
    /// At most so many requests are under way at once, over all connections.
    pub max_requests: usize,
    /// Requests under way take at most so many bytes together.
    pub max_requests_bytes: usize,
    /// Answers that clients have not read yet take at most about so many bytes together; one answer alone may be
    /// larger.
    pub max_unread_bytes: usize,
    /// At most so many connections.
    pub max_connections: usize,
    /// At most so many requests at once on one connection; more wait at the client.
    pub max_streams_per_connection: u32,
}

impl Limits {
    /// What a frame may add to a request of the largest size, as in etcd.
    const FRAME_OVERHEAD_BYTES: usize = 512 * 1024;

    /// The largest message that is read at all.
    pub fn max_frame_bytes(&self) -> usize {
        self.max_request_bytes.saturating_add(Limits::FRAME_OVERHEAD_BYTES)
    }

    /// What the store checks.
    pub(crate) fn store(&self) -> StoreLimits {
        StoreLimits { max_txn_ops: self.max_txn_ops }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_request_bytes: 1_572_864,
            max_txn_ops: 128,
            max_requests: 8192,
            max_requests_bytes: 128 * 1024 * 1024,
            max_unread_bytes: 256 * 1024 * 1024,
            max_connections: 4096,
            max_streams_per_connection: 1024,
        }
    }
}
