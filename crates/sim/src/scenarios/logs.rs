//! Scenarios of any replicated log with a leader: the textbook store by Multi-Paxos, and by Fast Paxos.

use synod_paxos::node::NodeId;

use crate::history::Answer;
use crate::program::Program;
use crate::programs::replicated::{FastLog, Multi};
use crate::scenarios::Outcome;
use crate::scenarios::stage::{FROM_ANYONE, Stage, TO_ANYONE, from, to};

/// Messages in which a node says how far it knows slots to be chosen.
const TELLING: [&str; 3] = ["heartbeat", "heartbeat-reply", "commit"];

/// Nobody else offers itself until `node` leads, and after.
fn elect<P: Program>(stage: &mut Stage<P>, node: u64, others: [u64; 2]) {
    for other in others {
        stage.lose("pre-check", from(other), TO_ANYONE);
    }
    stage.until(&format!("n{node} leads"), 10_000, |world| world.leader() == Some(NodeId(node)));
}

/// n1 alone knows what was chosen last, by its snapshot. All restart; n3 is elected by its own promise and n1's, which
/// says that the slot is chosen and held no more; and n1 is gone before it has sent the snapshot. The votes of n2 and n3
/// are enough to find the value again.
fn holder_gone<P: Program>(seed: u64) -> Outcome {
    let mut stage = Stage::<P>::new(seed, 3);
    elect(&mut stage, 1, [2, 3]);
    stage.pass(200);
    for other in [2, 3] {
        stage.lose("accepted", FROM_ANYONE, to(other));
        for name in TELLING {
            stage.lose(name, from(1), to(other));
        }
    }
    // More than a snapshot is due after.
    let value = "v".repeat(7_000);
    let asked = stage.client(1).puts("x", &value).at(1);
    stage.expect_told(asked, &Answer::Done);
    stage.pass(50);
    for node in 1..=3 {
        stage.dies(node);
    }
    for other in [2, 3] {
        stage.let_through("accepted", FROM_ANYONE, to(other));
        for name in TELLING {
            stage.let_through(name, from(1), to(other));
        }
        stage.let_through("pre-check", from(other), TO_ANYONE);
    }
    for name in ["fetched", "snapshot-part"] {
        stage.lose(name, from(1), TO_ANYONE);
    }
    stage.hold("promise", from(2), to(3));
    for node in 1..=3 {
        stage.starts(node);
    }
    elect(&mut stage, 3, [1, 2]);
    stage.dies(1);
    stage.let_through("promise", from(2), to(3));
    stage.deliver("promise", from(2), to(3));
    for node in [2, 3] {
        let asked = stage.client(node).gets("x").at(node);
        stage.expect_told(asked, &Answer::Value(Some(value.clone())));
    }
    stage.finish()
}

/// By Multi-Paxos.
pub fn multi_holder_gone(seed: u64) -> Outcome {
    holder_gone::<Multi>(seed)
}

/// By Fast Paxos.
pub fn fast_holder_gone(seed: u64) -> Outcome {
    holder_gone::<FastLog>(seed)
}
