//! The state machine: commands in, answers out.

use std::fmt;

use synod_probe::mutant;

use crate::compaction::Sweep;
use crate::request::{Command, Compact};
use crate::response::{Applied, Refusal, Response};
use crate::state::State;
use crate::txn::Execution;
use crate::view::View;

/// A multi-version key-value store, changed by the commands of a log.
pub struct Store {
    state: State,
    sweep: Sweep,
}

impl Store {
    /// An empty store, at revision 1: the first change gets revision 2, as in etcd.
    pub fn new() -> Store {
        Store::from_state(State::new())
    }

    pub(crate) fn from_state(state: State) -> Store {
        Store { state, sweep: Sweep::default() }
    }

    /// Runs one command, whatever it says: one that [`check`](crate::check()) would refuse is still answered the
    /// same way by every member. A refused command changes nothing.
    pub fn apply(&mut self, command: &Command) -> Applied {
        let result = self.run(command, true);
        Applied { result, revision: self.state.revision }
    }

    /// The same where no client waits for the answer: the state that follows is the same, and what only an answer would
    /// hold is not read. A transaction of two kilobytes can ask for all there is a hundred times over.
    pub fn apply_unanswered(&mut self, command: &Command) {
        // A refusal is an answer, too.
        let _ = self.run(command, false);
    }

    fn run(&mut self, command: &Command, answers: bool) -> Result<Response, Refusal> {
        let result = match command {
            Command::Put(put) => self.execute(answers, |execution| execution.put(put).map(Response::Put)),
            Command::DeleteRange(delete) => {
                self.execute(answers, |execution| Ok(Response::DeleteRange(execution.delete_range(delete))))
            }
            Command::Txn(txn) => self.execute(answers, |execution| execution.txn(txn).map(Response::Txn)),
            Command::Compact(compact) => self.compact(compact),
        };
        self.tidy();
        result
    }

    fn execute<T>(
        &mut self,
        answers: bool,
        run: impl FnOnce(&mut Execution<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut execution = Execution::new(&mut self.state, answers);
        let result = run(&mut execution);
        match &result {
            Ok(_) => execution.commit(),
            Err(_) if mutant!(TxnNotRolledBack) => execution.commit(),
            Err(_) => execution.roll_back(),
        }
        result
    }

    fn compact(&mut self, compact: &Compact) -> Result<Response, Refusal> {
        self.state.compact(compact.revision)?;
        self.sweep.start();
        Ok(Response::Compact)
    }

    /// Gives back some of the memory that compactions left behind; false if there is none left. Every command does it
    /// on its way, so this is for times without commands. It changes nothing but [`bytes`](Store::bytes).
    pub fn tidy(&mut self) -> bool {
        self.sweep.step(&mut self.state)
    }

    /// The state as it is now, for good. Takes constant time. While a view lives, the first write to each part of the
    /// store that it shares copies that part, so take one when somebody reads, not after every write.
    pub fn view(&self) -> View {
        View::new(self.state.clone())
    }

    /// The revision of the last change.
    pub fn revision(&self) -> i64 {
        self.state.revision
    }

    /// The oldest readable revision; -1 before the first compaction, as in etcd.
    pub fn compacted(&self) -> i64 {
        self.state.compacted
    }

    /// A digest of all content and history that is readable, for comparing members. Reads everything.
    pub fn hash(&self) -> u64 {
        self.state.hash()
    }

    /// About how much memory keys, values and history take, in bytes. Members may differ for a while after a
    /// compaction, see [`tidy`](Store::tidy).
    pub fn bytes(&self) -> u64 {
        self.state.bytes
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.describe("Store", f)
    }
}
