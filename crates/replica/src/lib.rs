//! A user's deterministic state machine, replicated by any protocol of the family.
//!
//! [`Host`](host::Host) joins the two: a protocol that decides what is executed, and a machine that executes it. It does no
//! I/O and reads no clock. A driver gives it frames, clients' requests, finished writes and the time, and does what its
//! outputs say: the simulator's on simulated disks, a real one on sockets and files.
//!
//! - [`machine`] says what a state machine is; [`textbook`] is one: the key-value store of the texts.
//! - [`submission`] names each command, and [`sessions`] make it run once, however often it is executed.
//! - [`snapshot`] is state and position as one atomic whole, on disk and on its way to one who was away.
//! - [`driver`] runs a replica of the textbook store on sockets and files.
//! - [`home`] is what a replica keeps on its disk.

pub mod driver;
pub mod home;
pub mod host;
pub mod machine;
pub mod sessions;
pub mod snapshot;
pub mod submission;
pub mod textbook;
mod transfer;
pub mod wire;
