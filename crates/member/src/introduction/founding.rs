//! Founding: one founder decides which disks make up the cluster.
//!
//! The decider is the founder first by name. It writes the roster once the process at every founder's address has told
//! its disk, and that it holds no roster. Every other founder adopts a roster that is held and names its disk. So a
//! disk that is lost before the roster is written is simply not in it, and one that is lost afterwards is missed.
//!
//! Why no two rosters have a quorum each, although the decider's disk may be lost: let a decide R1 and lose its disk, and
//! let the new a ask b and c. If one of them says that it holds R1, a decides nothing. If both say that they hold
//! nothing, neither takes R1 any more: R1 could come only from the old a, whose late answers are void once the new a
//! was answered, or from the other one, which has said that it does not hold it.

use std::collections::BTreeMap;

use synod_probe::{mark, mutant};

use super::hello::{Hello, Holding};
use super::judgement::Refusal;
use super::{Action, Introductions, Peer, Process};
use crate::identity::roster::Roster;

impl Introductions {
    /// Decides the roster, if this founder is the one to do so and has heard enough.
    pub(super) fn decide(&mut self) {
        let first = self.peers.keys().all(|name| self.me.name < *name);
        if !first || !self.me.founds || self.holding != Holding::Nothing || self.over {
            return;
        }
        let disks: Option<BTreeMap<String, _>> =
            self.peers.iter().map(|(name, peer)| peer.founder(name)).collect();
        let Some(mut disks) = disks else { return };
        disks.insert(self.me.name.clone(), self.me.node);
        // Two founders that tell one disk run on copies of one directory: there is no cluster to be made of them.
        let Ok(roster) = Roster::new(self.me.cluster, disks) else { return };
        mark!(RosterDecided);
        self.hold(roster);
    }

    /// Takes over the roster that an answering process holds, if it names this disk.
    pub(super) fn adopt(&mut self, name: &str, hello: &Hello) {
        let Holding::Held(roster) = &hello.holding else { return };
        if self.holding != Holding::Nothing || self.over || roster.cluster() != self.me.cluster {
            return;
        }
        if roster.node(&self.me.name) == Some(self.me.node) || mutant!(OtherDisksRosterAdopted) {
            mark!(RosterAdopted);
            return self.hold(roster.clone());
        }
        mark!(StrangersDiskEnded);
        let reason = format!(
            "{name} belongs to a cluster that knows \"{}\" by another disk: this data directory is new, or not the one \
             that the cluster was founded with",
            self.me.name
        );
        self.stop(Action::End(reason));
    }

    fn hold(&mut self, roster: Roster) {
        self.holding = Holding::Pending;
        self.actions.push_back(Action::Hold(roster));
    }

    /// The roster is durable. Every peer is told.
    pub fn handle_held(&mut self, roster: Roster) {
        assert!(self.holding == Holding::Pending, "a roster is held that was not to be written: {roster:?}");
        self.holding = Holding::Held(roster);
        // What peers said is judged anew with the roster at hand.
        for name in self.peers.keys().cloned().collect::<Vec<_>>() {
            if let Some(process) = self.peers.get_mut(&name).and_then(|peer| peer.process.as_mut()) {
                process.verdict = Err(Refusal::NotAskedSince);
            }
            self.ask_one(&name);
        }
    }

    /// The founders that founding waits for, with the reason in words; nothing once the roster is held.
    pub fn missing(&self) -> Vec<(String, String)> {
        if self.roster().is_some() {
            return Vec::new();
        }
        let missing = self.peers.iter().filter_map(|(name, peer)| match peer.founder(name) {
            Some(_) => peer.twin(self).map(|reason| (name.clone(), reason)),
            None => Some((name.clone(), peer.words())),
        });
        missing.collect()
    }
}

impl Peer {
    /// The disk of a founder that has told it, and that it holds no roster.
    fn founder(&self, name: &str) -> Option<(String, synod_paxos::node::NodeId)> {
        let process = self.process.as_ref().filter(|_| self.trouble.is_none())?;
        let begins_alike = !matches!(process.verdict, Err(Refusal::OtherBeginning));
        let free = process.holding == Holding::Nothing || mutant!(DeciderDoesNotAsk);
        (begins_alike && free).then(|| (name.to_owned(), process.speaker.node))
    }

    /// Whether it runs on a copy of another founder's directory.
    fn twin(&self, all: &Introductions) -> Option<String> {
        let node = self.process.as_ref()?.speaker.node;
        let same = |process: &Process| process.speaker.node == node;
        let shown = all.peers.values().filter_map(|peer| peer.process.as_ref()).filter(|p| same(p)).count();
        (shown > 1 || node == all.me.node)
            .then(|| "shows the same disk as another founder: its directory is a copy".to_owned())
    }
}
