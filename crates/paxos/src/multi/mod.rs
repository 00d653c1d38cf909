//! Multi-Paxos: a replicated log.
