//! Single-decree Paxos, "the synod": one group of nodes agrees on one value, once.
//!
//! The roles are types of their own: [`Acceptor`](acceptor::Acceptor) is the memory,
//! [`Proposer`](proposer::Proposer) drives, [`Learner`](learner::Learner) finds out. They know no time, no
//! network and no disk. A [`Core`](core::Core) gives one node the roles it plays in its
//! [`Group`](options::Group), and a [`Node`](node::Node) adds deadlines and back-off.
//!
//! Sources: Lamport, *The Part-Time Parliament* (1998) and *Paxos Made Simple* (2001); Howard, Malkhi,
//! Spiegelman, *Flexible Paxos* (2016) for the quorums. `docs/protocols/synod.md` has the tables.

pub mod acceptor;
pub mod core;
pub mod learner;
pub mod message;
pub mod node;
pub mod options;
pub mod proposer;
pub mod record;
pub mod rejection;

use std::fmt::Debug;
use std::hash::Hash;

/// What can be agreed on: the protocol compares values and never looks inside.
pub trait Value: Clone + Eq + Hash + Debug {}

impl<T: Clone + Eq + Hash + Debug> Value for T {}
