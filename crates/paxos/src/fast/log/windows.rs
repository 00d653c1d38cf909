//! Windows: the leader opens slots to all writers, moves on, and takes them back.

use synod_probe::{mark, mutant};

use crate::fast::log::core::Core;
use crate::fast::log::grant::Grant;
use crate::fast::log::message::Message;
use crate::multi::entry::{Command, Entry};
use crate::slot::Slot;

impl<C: Command> Core<C> {
    pub(super) fn handle_grant(&mut self, grant: Grant) {
        self.election.follow(grant.ballot);
        self.yield_to_higher();
        self.writer.take(grant);
    }

    /// Opens a window behind everything that is used, if this node leads and none is open.
    pub fn open_window(&mut self) {
        if self.leading().is_some_and(|leader| !leader.grant().is_open()) {
            self.extend(true);
        }
    }

    pub(super) fn extend_window(&mut self) {
        if self.leading().is_some_and(|leader| leader.grant().is_open()) {
            self.extend(false);
        }
    }

    fn extend(&mut self, anew: bool) {
        let used = self.last_used();
        let Some(leader) = &mut self.leader else { return };
        mark!(FastLogWindowReopened if anew && leader.grant().number > 0);
        if leader.extend(used, &self.learner) {
            let grant = *leader.grant();
            self.send(self.everybody(), Message::Any(grant));
        }
    }

    /// Ends the window: asks everybody to leave it, and fills what is open.
    pub fn withdraw_window(&mut self) {
        let Some(leader) = self.leader.as_mut() else { return };
        if !leader.withdraw() {
            return;
        }
        mark!(FastLogFellBack);
        let grant = *leader.grant();
        self.send(self.everybody(), Message::Any(grant));
        self.settle_open(Slot::MAX);
    }

    /// Sees to the open slots up to `upto` that are not chosen: ends their fast rounds, or, where too few have voted,
    /// has a no-op voted for.
    pub fn settle_open(&mut self, upto: Slot) {
        if mutant!(FastLogOpenSlotsLeft) {
            return;
        }
        let Some(leader) = self.leading() else { return };
        let ballot = leader.ballot();
        let slots: Vec<Slot> = leader.open().range(..=upto).copied().collect();
        let mut empty = Vec::new();
        for slot in slots {
            if self.close(slot) {
                mark!(FastRoundClosedLate);
                self.relapsed = true;
            } else {
                mark!(FastLogOpenSlotFilled);
                empty.push((slot, Entry::Noop));
            }
        }
        if !empty.is_empty() {
            self.send(self.everybody(), Message::Propose { ballot, entries: empty });
        }
    }

    /// Whether a fast round had to be recovered since the last call.
    pub fn take_relapse(&mut self) -> bool {
        std::mem::take(&mut self.relapsed)
    }

    /// The lowest open slot that somebody should see to: it is used, or something behind it is, or the window has ended.
    pub fn oldest_open(&self) -> Option<Slot> {
        let leader = self.leading()?;
        let oldest = *leader.open().first()?;
        (!leader.grant().is_open() || oldest <= self.last_used()).then_some(oldest)
    }
}
