//! The half of a member that applies what was chosen.

use std::collections::VecDeque;

use synod_paxos::multi::entry::Entry;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use synod_probe::{mark, mutant};
use synod_store::request::Command;
use synod_store::response::Applied;
use synod_store::{Store, View};

use crate::checkpoint::{Checkpoint, LoadedCheckpoint};
use crate::identity::roster::Roster;
use crate::sessions::{Admission, Sessions};
use crate::submission::{Body, Submission};
use crate::voter::Sequence;

/// What the voter hands to the applier, in order. A driver passes it on.
#[derive(Debug)]
pub struct ToApplier {
    slot: Slot,
    entry: Entry<Submission>,
}

impl ToApplier {
    pub(crate) fn new(slot: Slot, entry: Entry<Submission>) -> ToApplier {
        ToApplier { slot, entry }
    }

    /// Which slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// What was chosen there.
    pub fn entry(&self) -> &Entry<Submission> {
        &self.entry
    }
}

/// What the driver does for the applier.
#[derive(Debug)]
pub enum ApplierOutput {
    /// A write of this member's clients was applied.
    Reply {
        /// Which write.
        sequence: Sequence,
        /// In which slot.
        slot: Slot,
        /// The store's answer.
        applied: Applied,
    },
    /// A write of this member's clients is settled, but its answer is lost: it was applied in a state that came as a
    /// checkpoint, or it was chosen and did not run here as the first of its identity.
    ReplyUnknown {
        /// Which write.
        sequence: Sequence,
    },
    /// The log registered this start of `node`: tell the voter with `handle_registered`.
    Registered {
        /// Which member.
        node: NodeId,
        /// Which start.
        incarnation: Incarnation,
    },
    /// Everything up to `slot` is applied: tell the voter with `handle_applied`, wake readers.
    Applied {
        /// The last slot applied.
        slot: Slot,
    },
    /// Write this checkpoint in the background: stream the parts to a new file, sync, give it its final
    /// name, sync the directory, then tell the voter with `handle_checkpoint_durable` and call
    /// [`Applier::handle_checkpoint_written`]. Later checkpoints wait until then.
    WriteCheckpoint(Checkpoint),
}

/// What a slot weighs in the journal besides its commands, in bytes: roughly.
const SLOT_OVERHEAD: u64 = 128;

/// The store, whose writes were applied to it, and when to write a checkpoint.
///
/// The position in the log, the sessions and the data change together and are saved together.
#[derive(Debug)]
pub struct Applier {
    /// Held before the first slot is applied.
    roster: Option<Roster>,
    id: NodeId,
    incarnation: Incarnation,
    applied: Slot,
    sessions: Sessions,
    store: Store,
    checkpoint_every: u64,
    bytes_since_checkpoint: u64,
    writing_checkpoint: bool,
    out: VecDeque<ApplierOutput>,
}

impl Applier {
    /// The applier of a process of member `id` that starts from `loaded`.
    pub fn new(
        roster: Option<Roster>,
        id: NodeId,
        incarnation: Incarnation,
        loaded: LoadedCheckpoint,
    ) -> Applier {
        Applier {
            roster,
            id,
            incarnation,
            applied: loaded.slot,
            sessions: loaded.sessions,
            store: loaded.store,
            checkpoint_every: 64 << 20,
            bytes_since_checkpoint: 0,
            writing_checkpoint: false,
            out: VecDeque::new(),
        }
    }

    /// A checkpoint is due once the journal has grown by so many bytes since the last, or by half of what the
    /// store holds, whichever is more: so checkpoints write at most twice what the journal does. The store
    /// counts its memory, which is more than the same data in a journal: with "as much as it holds" a store
    /// that only grows would never be due.
    pub fn set_checkpoint_every(&mut self, journal_bytes: u64) {
        self.checkpoint_every = journal_bytes;
    }

    /// The cluster was founded with this roster.
    pub fn found(&mut self, roster: Roster) {
        self.roster = Some(roster);
    }

    /// Applies the next slot. Slots that an installed checkpoint covers are skipped.
    ///
    /// # Panics
    /// If a slot is missing: state machines apply every slot in order.
    pub fn handle(&mut self, item: ToApplier) {
        if item.slot <= self.applied {
            return;
        }
        assert!(
            item.slot == self.applied.next(),
            "{} cannot be applied after {}: a slot is missing",
            item.slot,
            self.applied
        );
        for submission in item.entry.commands() {
            self.apply(item.slot, submission);
        }
        self.applied = item.slot;
        self.bytes_since_checkpoint += item.entry.size() as u64 + SLOT_OVERHEAD;
        self.out.push_back(ApplierOutput::Applied { slot: item.slot });
        self.checkpoint_if_due();
    }

    fn apply(&mut self, slot: Slot, submission: &Submission) {
        let (node, incarnation) = (submission.origin, submission.incarnation);
        let Body::Store(command) = &submission.body else {
            if self.sessions.register(node, incarnation) {
                self.out.push_back(ApplierOutput::Registered { node, incarnation });
            }
            return;
        };
        let mine = node == self.id && (incarnation == self.incarnation || mutant!(ReplyToOtherProcess));
        let sequence = Sequence(submission.sequence);
        if self.sessions.admit(submission) != Admission::First {
            // The first copy was answered when it ran. If no copy ran here, the client that waits learns that much.
            self.out.extend(mine.then_some(ApplierOutput::ReplyUnknown { sequence }));
            return;
        }
        // Every member checked what its clients sent before it submitted it.
        let command = Command::decode(command.clone());
        let command =
            command.unwrap_or_else(|error| panic!("{slot} holds a command nobody can apply: {error}"));
        mark!(OutcomeOfEarlierProcess if node == self.id && incarnation < self.incarnation);
        if mine {
            let applied = self.store.apply(&command);
            self.out.push_back(ApplierOutput::Reply { sequence, slot, applied });
        } else {
            self.store.apply_unanswered(&command);
        }
    }

    /// Replaces the state by one that came from another member, unless this one is as new already.
    pub fn install(&mut self, loaded: LoadedCheckpoint) {
        if loaded.slot <= self.applied && !mutant!(OlderCheckpointInstalled) {
            return;
        }
        mark!(CheckpointInstalled);
        for sequence in loaded.sessions.applied(self.id, self.incarnation) {
            if !self.sessions.contains(self.id, self.incarnation, sequence) {
                mark!(AnswerLostInCheckpoint);
                self.out.push_back(ApplierOutput::ReplyUnknown { sequence: Sequence(sequence) });
            }
        }
        for (node, incarnation) in loaded.registered() {
            self.out.push_back(ApplierOutput::Registered { node, incarnation });
        }
        self.applied = loaded.slot;
        self.sessions = loaded.sessions;
        self.store = loaded.store;
        self.bytes_since_checkpoint = 0;
        self.out.push_back(ApplierOutput::Applied { slot: self.applied });
    }

    fn checkpoint_if_due(&mut self) {
        let due = self.checkpoint_every.max(self.store.bytes() / 2);
        if self.writing_checkpoint || self.bytes_since_checkpoint < due {
            return;
        }
        self.writing_checkpoint = true;
        self.bytes_since_checkpoint = 0;
        self.out.push_back(ApplierOutput::WriteCheckpoint(self.checkpoint()));
    }

    /// The present state as a checkpoint.
    pub fn checkpoint(&self) -> Checkpoint {
        let slot = if mutant!(CheckpointPositionApart) { self.applied.next() } else { self.applied };
        let sessions =
            if mutant!(SessionsNotInCheckpoint) { Sessions::default() } else { self.sessions.clone() };
        let roster = self.roster.as_ref().expect("slots are applied, and states installed, under a roster");
        Checkpoint::new(roster, slot, sessions, self.store.view())
    }

    /// The last checkpoint is durable.
    pub fn handle_checkpoint_written(&mut self, slot: Slot) {
        assert!(slot <= self.applied, "a checkpoint of {slot} was never made: applied {}", self.applied);
        self.writing_checkpoint = false;
    }

    /// The state as it is now, for reading.
    pub fn view(&self) -> View {
        self.store.view()
    }

    /// The last slot applied.
    pub fn applied(&self) -> Slot {
        self.applied
    }

    /// What to do next, or `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<ApplierOutput> {
        self.out.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn an_own_write_whose_turn_does_not_run_it_is_answered_with_an_unknown_outcome() {
        let (id, incarnation) = (NodeId(1), Incarnation::numbered(2));
        let mut applier = Applier::new(None, id, incarnation, LoadedCheckpoint::empty());
        let body = Body::Store(Bytes::from_static(b"nothing that would be run"));
        let submission = Submission { origin: id, incarnation, sequence: 7, floor: 1, body };
        // Another process of this member is registered, a copy that should not be.
        applier.sessions.register(id, Incarnation::numbered(3));
        applier.handle(ToApplier::new(Slot(1), Entry::Commands([submission].into())));
        let answer = applier.poll_output();
        assert!(
            matches!(answer, Some(ApplierOutput::ReplyUnknown { sequence: Sequence(7) })),
            "it waits forever: {answer:?}"
        );
    }
}
