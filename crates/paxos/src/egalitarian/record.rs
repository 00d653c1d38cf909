//! What must survive a crash.

use serde::{Deserialize, Serialize};

use crate::egalitarian::id::{CommandId, Floor, IdSet};
use crate::egalitarian::instance::Instance;

/// One thing that a replica must not forget. A later record of the same thing stands for all earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Record<C> {
    /// All that is known of a command.
    Instance {
        /// Its identity.
        id: CommandId,
        /// What is known.
        instance: Instance<C>,
    },
    /// Every answer to a `PreAccept` names these.
    Answers(Floor),
    /// These are forgotten: executed, and nobody needs to hear of them.
    Collected(Floor),
}

/// What a replica finds when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered<C> {
    /// What the durable state of the state machine has executed.
    pub executed: IdSet,
    /// What was written, in order.
    pub records: Vec<Record<C>>,
}

impl<C> Default for Recovered<C> {
    fn default() -> Recovered<C> {
        Recovered { executed: IdSet::default(), records: Vec::new() }
    }
}
