//! Which commands may be executed, and in which order.
//!
//! A command is executed after all that it depends on. Where commands depend on each other in a cycle, all of the cycle
//! are executed together, in the order of their identities. So the order follows from what is committed alone, and
//! is the same everywhere for commands of which one depends on the other.
//!
//! Tarjan's algorithm, with its stack in the heap and between calls: a walk stops after as many steps as it is
//! allowed, and goes on where it was. Where it meets a command that is not committed, it leaves everything on its
//! stack there until that command is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use synod_probe::{mark, mutant};

use crate::egalitarian::id::{CommandId, IdSet};
use crate::egalitarian::interference::Command;
use crate::egalitarian::table::Table;

/// Finds what may be executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Executor {
    executed: IdSet,
    /// Committed and not executed.
    learned: BTreeSet<CommandId>,
    /// Where walks may start, first come, first served. May name some that are elsewhere by now.
    roots: VecDeque<CommandId>,
    /// By the command that is not committed: those that depend on it, in whatever way.
    parked: BTreeMap<CommandId, Vec<CommandId>>,
    parked_on: BTreeMap<CommandId, CommandId>,
    walk: Walk,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Walk {
    /// The way from the root to where it is.
    path: Vec<Frame>,
    /// Tarjan's stack.
    stack: Vec<CommandId>,
    /// Of those on the stack: the place there, and the lowest place known to be reachable.
    places: BTreeMap<CommandId, (usize, usize)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Frame {
    id: CommandId,
    /// The last dependency that was looked at.
    after: Option<CommandId>,
}

impl Executor {
    /// For a state that has executed this.
    pub fn new(executed: IdSet) -> Executor {
        Executor { executed, ..Executor::default() }
    }

    /// What is executed.
    pub fn executed(&self) -> &IdSet {
        &self.executed
    }

    /// Whether `id` is executed, or known to be committed.
    pub fn has(&self, id: CommandId) -> bool {
        self.executed.contains(id) || self.learned.contains(&id)
    }

    /// Whether there is something left to look at.
    pub fn is_busy(&self) -> bool {
        !self.walk.path.is_empty() || !self.roots.is_empty()
    }

    /// `id` is committed. Returns whether that is news.
    pub fn learn(&mut self, id: CommandId) -> bool {
        if self.executed.contains(id) || !self.learned.insert(id) {
            return false;
        }
        self.roots.push_back(id);
        for waiting in self.parked.remove(&id).unwrap_or_default() {
            self.parked_on.remove(&waiting);
            self.roots.push_back(waiting);
        }
        true
    }

    /// A state that has executed this stands in place of the present one. It lacks what is to be executed `again`.
    pub fn install(&mut self, executed: &IdSet, again: Vec<CommandId>) {
        if mutant!(EpaxosNotExecutedAgain) {
            self.executed.insert_all(again);
        } else {
            self.executed = IdSet::default();
            self.learned.extend(again);
        }
        self.executed.extend(executed);
        self.learned.retain(|id| !executed.contains(*id));
        self.parked.clear();
        self.parked_on.clear();
        self.walk = Walk::default();
        self.roots = self.learned.iter().copied().collect();
    }

    /// Looks at up to `steps` dependencies. Returns what is to be executed, in order; no-ops among it.
    pub fn run<C: Command>(&mut self, table: &Table<C>, steps: usize) -> Vec<CommandId> {
        let mut order = Vec::new();
        for _ in 0..steps {
            let Some(Frame { id, after }) = self.walk.path.last().cloned() else {
                let Some(root) = self.roots.pop_front() else { break };
                self.start(root);
                continue;
            };
            let deps = table.instance(id).map(|instance| &instance.deps);
            match deps.and_then(|deps| deps.next_not_in(&self.executed, after)) {
                Some(next) if !mutant!(EpaxosReplyAtCommit) => {
                    if let Some(frame) = self.walk.path.last_mut() {
                        frame.after = Some(next);
                    }
                    self.look_at(id, next);
                }
                _ => self.leave(id, &mut order),
            }
        }
        order
    }

    fn start(&mut self, root: CommandId) {
        if self.learned.contains(&root) && !self.parked_on.contains_key(&root) {
            self.enter(root);
        }
    }

    fn enter(&mut self, id: CommandId) {
        let place = self.walk.stack.len();
        self.walk.places.insert(id, (place, place));
        self.walk.stack.push(id);
        self.walk.path.push(Frame { id, after: None });
    }

    fn look_at(&mut self, id: CommandId, next: CommandId) {
        if !self.learned.contains(&next) {
            if !mutant!(EpaxosOpenDependencyIgnored) {
                self.park(next);
            }
        } else if let Some(open) = self.parked_on.get(&next) {
            self.park(*open);
        } else if let Some((place, _)) = self.walk.places.get(&next).copied() {
            if !mutant!(EpaxosCycleIgnored) {
                self.reach(id, place);
            }
        } else {
            self.enter(next);
        }
    }

    fn reach(&mut self, id: CommandId, place: usize) {
        if let Some((_, low)) = self.walk.places.get_mut(&id) {
            *low = place.min(*low);
        }
    }

    /// Everything on the stack leads to where the walk is, and so to `open`: it waits for that.
    fn park(&mut self, open: CommandId) {
        let walk = std::mem::take(&mut self.walk);
        for id in &walk.stack {
            self.parked_on.insert(*id, open);
        }
        self.parked.entry(open).or_default().extend(walk.stack);
    }

    /// All dependencies of `id` were looked at.
    fn leave(&mut self, id: CommandId, order: &mut Vec<CommandId>) {
        self.walk.path.pop();
        let Some((place, low)) = self.walk.places.get(&id).copied() else { return };
        if low < place {
            if let Some(Frame { id: parent, .. }) = self.walk.path.last() {
                let parent = *parent;
                self.reach(parent, low);
            }
            return;
        }
        let mut together = self.walk.stack.split_off(place);
        together.sort_unstable();
        mark!(EpaxosCycle if together.len() > 1);
        mark!(EpaxosCycleOfThree if together.len() > 2);
        for id in together {
            self.walk.places.remove(&id);
            self.learned.remove(&id);
            self.executed.insert(id);
            order.push(id);
        }
    }
}
