//! A deterministic multi-version key-value state machine with the etcd v3 data model.
//!
//! A [`Store`] changes by one way only: [`Store::apply`] takes the next [`request::Command`] of the log. Two stores
//! that applied the same commands are equal, on every machine; [`Store::hash`] compares them. It reads no clock, draws
//! no randomness and does no I/O.
//!
//! Every change gets a *revision*, counted over the whole store, and every key keeps its older versions until a
//! compaction forgets them. So a read may ask for any revision since the last compaction. Reads go through a
//! [`View`]: a frozen state that costs nothing to take and that later commands leave alone.
//!
//! ```
//! use synod_store::Store;
//! use synod_store::request::{Command, KeyRange, Put, Range};
//!
//! let mut store = Store::new();
//! let before = store.view();
//! let put = Put::new("greeting", "hello");
//! assert_eq!(store.apply(&Command::Put(put)).revision, 2);
//!
//! let range = Range::new(KeyRange::One("greeting".into()));
//! assert_eq!(store.view().range(&range)?.kvs[0].value, "hello");
//! assert_eq!(before.range(&range)?.count, 0);
//! # Ok::<(), synod_store::response::Refusal>(())
//! ```

pub mod check;
pub mod codec;
mod compaction;
mod compare;
mod hash;
mod history;
mod range;
pub mod request;
pub mod response;
mod revision;
pub mod snapshot;
mod state;
mod store;
mod stored_key;
mod txn;
mod varint;
mod view;

pub use check::{Limits, check, check_range};
pub use codec::DecodeError;
pub use snapshot::{Restore, SnapshotError};
pub use store::Store;
pub use view::View;
