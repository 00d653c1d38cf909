//! Egalitarian Paxos, as EPaxos*: no leader, and an order only among commands that interfere.
//!
//! Every replica proposes its own commands. It asks the others which commands they know that the new one interferes
//! with; if a fast quorum knows of none that it did not know itself, the command is committed after one round trip,
//! otherwise after two. What is agreed on is a command and the set of commands that it depends on. Execution follows
//! these sets, and where they form a cycle, the identities: in the same way everywhere.
//!
//! | part | is |
//! |---|---|
//! | [`Table`](table::Table) | the memory of a replica: what it knows of every command, and has promised |
//! | [`Lead`](lead::Lead) | the coordinator of one command: its owner, or who recovers it |
//! | [`Executor`](execution::Executor) | finds what may be executed |
//! | [`Core`](core::Core) | one replica without time |
//! | [`Replica`](replica::Replica) | the same with deadlines |
//!
//! Sources: Moraru, Andersen, Kaminsky, *There Is More Consensus in Egalitarian Parliaments* (2013), for the idea;
//! Ryabinin, Gotsman, Sutra, *Making Democracy Work: Fixing and Simplifying Egalitarian Paxos* (2025), for the rules,
//! since the recovery of the former is wrong; Sutra, *On the correctness of Egalitarian Paxos* (2019), for why.
//! `docs/protocols/egalitarian.md` has the tables.

mod catch_up;
pub mod collection;
mod coordination;
pub mod core;
pub mod execution;
pub mod id;
pub mod instance;
pub mod interference;
pub mod lead;
pub mod message;
pub mod record;
mod recovery;
pub mod rejection;
pub mod replica;
pub mod table;
pub mod words;
