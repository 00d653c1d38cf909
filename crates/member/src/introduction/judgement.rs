//! Whether the process that answers at a peer's address may take part.
//!
//! A disk that was set back to an earlier copy of itself has forgotten promises and votes, as an empty one has. Two
//! things give it away to a member that remembers:
//!
//! - every frame tells how many protocol records its disk has ever made durable. A new process that recovered fewer
//!   than an earlier one told has lost some;
//! - every start registers itself in the log, with a nonce. A process that cannot show the nonce of a start that the log
//!   registered does not run on the disk of that start.
//!
//! Example: c runs its fourth start, registered with nonce 5e. Its directory is replaced by a copy of its third start.
//! The process on the copy counts its own start as the fourth too, and draws nonce 81. The log of a and b registered
//! (4, 5e); c shows (4, 81): it is refused.

use std::collections::BTreeMap;

use synod_paxos::node::{Incarnation, NodeId};
use synod_probe::{mark, mutant};
use thiserror::Error;

use super::Introductions;
use super::hello::{Hello, Holding, Speaker};

/// Why a process may not take part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// This process holds no roster yet.
    #[error("this member holds no roster yet")]
    NoRosterHere,
    /// The other one holds no roster yet.
    #[error("it holds no roster yet")]
    NoRosterThere,
    /// It has said nothing since the roster is held here.
    #[error("it has not answered since the cluster was founded")]
    NotAskedSince,
    /// It is another member than the one asked for, or another cluster's.
    #[error("it is not the member that was asked for")]
    Elsewhere,
    /// It would found the cluster with another state.
    #[error("it begins with another state: restore all founders from the same snapshot")]
    OtherBeginning,
    /// It holds another founding roster.
    #[error(
        "it was founded with other disks: it belongs to another cluster, or to an earlier founding of this one"
    )]
    OtherRoster,
    /// The roster names another disk under its name.
    #[error(
        "the cluster knows \"{name}\" by disk {listed}, not by {shown}: its data directory is new, or not the one that \
         the cluster was founded with"
    )]
    OtherDisk {
        /// Its name.
        name: String,
        /// The disk in the roster.
        listed: NodeId,
        /// The disk that it has.
        shown: NodeId,
    },
    /// It recovered fewer records than its disk had.
    #[error(
        "its disk has lost records: {recovered} were there when it started, and it had told of {told}: its data \
         directory was replaced by an earlier copy"
    )]
    LostRecords {
        /// What it recovered.
        recovered: u64,
        /// What an earlier process of its disk told.
        told: u64,
    },
    /// It cannot show the nonce of a start that the log registered.
    #[error(
        "its disk does not know start {} of this member, which the log registered: its data directory was replaced by \
         an earlier copy, or is one of two copies in use", .0.start
    )]
    UnknownStart(Incarnation),
}

impl Refusal {
    /// Whether it ends by itself while the cluster is founded, or when the process answers again.
    pub fn passes(&self) -> bool {
        matches!(self, Refusal::NoRosterHere | Refusal::NoRosterThere | Refusal::NotAskedSince)
    }

    /// Whether the disk was set back: then it must never take part again.
    pub fn is_set_back(&self) -> bool {
        matches!(self, Refusal::LostRecords { .. } | Refusal::UnknownStart(_))
    }
}

/// What this process knows of other members' disks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Known {
    /// The start of each member that the log registered last.
    registered: BTreeMap<NodeId, Incarnation>,
    /// The most records that each disk told, and the process that told something last.
    told: BTreeMap<NodeId, (Incarnation, u64)>,
}

impl Known {
    /// Whether what a new process shows contradicts what is known of its disk.
    fn contradicts(&self, node: NodeId, shown: &Shown<'_>) -> Option<Refusal> {
        if let Some((by, told)) = self.told.get(&node)
            && *by != shown.incarnation
            && shown.recovered < *told
        {
            return Some(Refusal::LostRecords { recovered: shown.recovered, told: *told });
        }
        let registered = *self.registered.get(&node)?;
        // A start before the first one shown: the log that this process knows is older than the one that it showed.
        let first = shown.starts.first()?;
        let known = shown.starts.contains(&registered)
            || registered.start < first.start
            || mutant!(StartsNonceIgnored)
                && shown.starts.iter().any(|start| start.start == registered.start);
        (!known).then_some(Refusal::UnknownStart(registered))
    }
}

/// What a process shows of its disk.
struct Shown<'a> {
    incarnation: Incarnation,
    starts: &'a [Incarnation],
    recovered: u64,
}

impl Introductions {
    /// The log registered this start of `node`. A process that was admitted before this was known is judged anew.
    pub fn handle_registered(&mut self, node: NodeId, incarnation: Incarnation) {
        let newest = self.known.registered.entry(node).or_insert(incarnation);
        if newest.start < incarnation.start {
            *newest = incarnation;
        }
        let known = &self.known;
        let mut refused = Vec::new();
        for (name, peer) in &mut self.peers {
            let Some(process) = peer.process.as_mut().filter(|process| process.speaker.node == node) else {
                continue;
            };
            let (starts, recovered) = (&process.starts, process.recovered);
            let shown = Shown { incarnation: process.speaker.incarnation, starts, recovered };
            if let Some(refusal) = known.contradicts(node, &shown)
                && process.verdict.is_ok()
            {
                mark!(SetBackDiskFoundLater);
                process.verdict = Err(refusal);
                refused.push(name.clone());
            }
        }
        for name in refused {
            self.ask_one(&name);
        }
    }

    /// An admitted process tells how many records its disk has ever made durable.
    pub fn handle_told(&mut self, node: NodeId, incarnation: Incarnation, records: u64) {
        let (by, told) = self.known.told.entry(node).or_insert((incarnation, records));
        *by = incarnation;
        *told = records.max(*told);
    }

    /// Whether a process that showed this of a disk would be refused as set back.
    pub fn is_set_back(&self, node: NodeId, starts: &[Incarnation], recovered: u64) -> bool {
        let Some(incarnation) = starts.last().copied() else { return false };
        self.known.contradicts(node, &Shown { incarnation, starts, recovered }).is_some()
    }

    /// Judges the process that answered at the address of `name`.
    pub(super) fn judge(&self, name: &str, speaker: &Speaker, hello: &Hello) -> Result<(), Refusal> {
        let Speaker { node, incarnation, .. } = *speaker;
        let shown = Shown { incarnation, starts: &hello.starts, recovered: hello.recovered };
        if let Some(refusal) = self.known.contradicts(node, &shown) {
            mark!(SetBackDiskFound);
            return Err(refusal);
        }
        match (self.roster(), &hello.holding) {
            (Some(own), Holding::Held(other)) if own != other => Err(Refusal::OtherRoster),
            (Some(own), _) if own.node(name) != Some(node) => {
                mark!(StrangersDiskRefused);
                let listed = own.node(name).unwrap_or(NodeId(0));
                Err(Refusal::OtherDisk { name: name.to_owned(), listed, shown: node })
            }
            (Some(_), Holding::Held(_)) => Ok(()),
            (Some(_), _) => Err(Refusal::NoRosterThere),
            (None, Holding::Held(_)) => Err(Refusal::NoRosterHere),
            (None, _) if hello.beginning != self.me.beginning => Err(Refusal::OtherBeginning),
            (None, _) => Err(Refusal::NoRosterThere),
        }
    }
}
