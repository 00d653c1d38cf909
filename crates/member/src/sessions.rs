//! Which submissions were applied already. Replicated: every member decides alike, and so does one that
//! starts from a checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use synod_paxos::node::{Incarnation, NodeId};
use synod_probe::{mark, mutant};

use crate::submission::Submission;

/// What becomes of a submission at its turn in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is applied now.
    First,
    /// It was applied before, or given up by its origin: it does nothing.
    Repeated,
    /// Its incarnation is not the registered one: it is refused, never run.
    Unregistered,
}

/// The sessions of all members that ever submitted something: one each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    pub(crate) by_member: BTreeMap<NodeId, Session>,
}

/// What one member's registered incarnation had applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) incarnation: Incarnation,
    /// Everything below is settled.
    pub(crate) floor: u64,
    /// What was applied at or above the floor.
    pub(crate) applied: BTreeSet<u64>,
}

impl Sessions {
    /// A registration's turn came. Returns whether it was taken: only a start above the registered one is. Of two
    /// processes that count alike, on copies of one disk, the second changes nothing.
    pub fn register(&mut self, origin: NodeId, incarnation: Incarnation) -> bool {
        let newer = self.by_member.get(&origin).is_none_or(|session| {
            session.incarnation.start < incarnation.start || mutant!(OlderRegistrationTaken)
        });
        if newer {
            self.by_member.insert(origin, Session { incarnation, floor: 0, applied: BTreeSet::new() });
        }
        newer
    }

    /// The start of each member that was registered last.
    pub fn registered(&self) -> impl Iterator<Item = (NodeId, Incarnation)> + '_ {
        self.by_member.iter().map(|(node, session)| (*node, session.incarnation))
    }

    /// A submission's turn came.
    pub fn admit(&mut self, submission: &Submission) -> Admission {
        let Some(session) = self.by_member.get_mut(&submission.origin) else {
            return Admission::Unregistered;
        };
        if session.incarnation != submission.incarnation && !mutant!(OtherProcessAdmitted) {
            mark!(SubmissionOfOtherProcessRefused);
            return Admission::Unregistered;
        }
        if submission.floor > session.floor {
            session.floor = submission.floor;
            // One by one: each is removed once, while a split would move all that stay, with every write.
            while session.applied.first().is_some_and(|first| *first < session.floor) {
                session.applied.pop_first();
            }
        }
        let settled = submission.sequence < session.floor && !mutant!(FloorIgnored);
        if settled || (!session.applied.insert(submission.sequence) && !mutant!(DedupeForgotten)) {
            mark!(RepeatedSubmissionDropped);
            return Admission::Repeated;
        }
        Admission::First
    }

    /// Whether this submission is known to have been applied.
    pub fn contains(&self, origin: NodeId, incarnation: Incarnation, sequence: u64) -> bool {
        self.by_member
            .get(&origin)
            .is_some_and(|session| session.incarnation == incarnation && session.applied.contains(&sequence))
    }

    /// What of `origin`'s incarnation was applied and may still be waited for.
    pub fn applied(&self, origin: NodeId, incarnation: Incarnation) -> impl Iterator<Item = u64> + '_ {
        self.by_member
            .get(&origin)
            .filter(|session| session.incarnation == incarnation)
            .into_iter()
            .flat_map(|session| session.applied.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::Body;

    const ORIGIN: NodeId = NodeId(7);

    fn submission(incarnation: u64, sequence: u64, floor: u64) -> Submission {
        let incarnation = Incarnation::numbered(incarnation);
        Submission { origin: ORIGIN, incarnation, sequence, floor, body: Body::Store("x".into()) }
    }

    #[test]
    fn a_submission_runs_once_however_often_it_comes_and_in_whatever_order() {
        let mut sessions = Sessions::default();
        sessions.register(ORIGIN, Incarnation::numbered(1));
        let outcomes: Vec<_> =
            [3, 1, 3, 2, 1].map(|sequence| sessions.admit(&submission(1, sequence, 1))).into();
        use Admission::{First, Repeated};
        assert_eq!(outcomes, [First, First, Repeated, First, Repeated]);
    }

    #[test]
    fn below_the_floor_nothing_runs_even_if_it_never_did() {
        let mut sessions = Sessions::default();
        sessions.register(ORIGIN, Incarnation::numbered(1));
        assert_eq!(sessions.admit(&submission(1, 9, 5)), Admission::First);
        assert_eq!(sessions.admit(&submission(1, 4, 1)), Admission::Repeated, "4 was given up by its origin");
        assert_eq!(sessions.applied(ORIGIN, Incarnation::numbered(1)).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn who_is_not_registered_is_refused_and_so_is_an_earlier_process() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.admit(&submission(1, 1, 1)), Admission::Unregistered);
        sessions.register(ORIGIN, Incarnation::numbered(2));
        sessions.register(ORIGIN, Incarnation::numbered(1));
        assert_eq!(sessions.admit(&submission(1, 1, 1)), Admission::Unregistered);
        assert_eq!(sessions.admit(&submission(2, 1, 1)), Admission::First);
        sessions.register(ORIGIN, Incarnation::numbered(2));
        assert_eq!(
            sessions.admit(&submission(2, 1, 1)),
            Admission::Repeated,
            "registering twice forgets nothing"
        );
    }
}
