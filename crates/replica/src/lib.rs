//! A user's deterministic state machine, replicated by any protocol of the family.
//!
//! [`Host`](host::Host) joins the two: a protocol that decides what is executed, and a machine that executes it. It does no
//! I/O and reads no clock. A driver gives it frames, clients' requests, finished writes and the time, and does what its
//! outputs say: the simulator's on simulated disks, a real one on sockets and files.
//!
//! To run a state machine of your own, implement [`StateMachine`](machine::StateMachine) and
//! [`Service`](machine::Service) for it, and [`Interferes`](machine::Interferes) for its commands if Egalitarian Paxos is
//! to run it. Then call [`driver::run`]. `examples/counter` does that: `cargo run -p synod-replica --example counter`.
//!
//! - [`machine`] says what a state machine is; [`textbook`] is one: the key-value store of the texts.
//! - [`submission`] names each command, and [`sessions`] make it run once, however often it is executed.
//! - [`snapshot`] is state and position as one atomic whole, on disk and on its way to one who was away.
//! - [`driver`] runs a replica of any machine on sockets and files.
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
