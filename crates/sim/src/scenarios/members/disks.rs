//! Members whose disk is lost or set back: another acceptor under the same name, or one that has forgotten.

use synod_paxos::node::NodeId;

use super::{ELECTION, led};
use crate::faults::Fault;
use crate::programs::member::Member;
use crate::scenarios::Outcome;
use crate::scenarios::stage::Stage;

/// Waits until the node has been told to stop for good.
fn until_refused(stage: &mut Stage<Member>, node: u64) {
    stage.until("it is refused, and stops for good", 20 * ELECTION, |world| {
        world.gone(NodeId(node)).is_some()
    });
}

/// One member is down while a write is acknowledged by the other two, and one of these loses its disk. Were the new disk
/// taken for the old one, the two that start first would be a majority that has never heard of the write.
pub fn wiped_member(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let [down, lost] = stage.others(leader)[..] else { unreachable!("three members") };
    stage.pass(2 * ELECTION);
    stage.dies(down);
    stage.write(leader, "x", "acknowledged");
    stage.dies(leader);
    let fault = stage.strike(Fault::Replace(NodeId(lost)));
    stage.starts(down);
    stage.relent(fault);
    until_refused(&mut stage, lost);
    stage.expect(stage.world.leads(NodeId(down)).is_none(), "one of three leads nothing");
    stage.starts(leader);
    let leader = stage.expect_leader(20 * ELECTION, &[lost]);
    stage.read(leader, "x", "acknowledged");
    stage.finish()
}

/// A member is set back to a copy of its present start: it recovers fewer records than it has told.
pub fn restored_copy(seed: u64) -> Outcome {
    set_back(seed, false)
}

/// A member is set back to a copy of an earlier start, and no process is left that it told anything: the log of the
/// others has registered a start that the copy does not know.
pub fn restored_earlier_start(seed: u64) -> Outcome {
    set_back(seed, true)
}

fn set_back(seed: u64, earlier_start: bool) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let node = stage.others(leader)[0];
    stage.write(leader, "x", "1");
    stage.expect_everybody_learns();
    stage.world.keep_copy(NodeId(node));
    stage.say("a copy of its disk is kept");
    let nodes: Vec<u64> = if earlier_start { vec![1, 2, 3] } else { vec![node] };
    if earlier_start {
        stage.dies(node);
        stage.starts(node);
        stage.until("it is back", 20 * ELECTION, |world| world.program(NodeId(node)).is_some());
    }
    let leader = stage.expect_leader(20 * ELECTION, &[]);
    stage.write(leader, "x", "2");
    stage.write(node, "x", "3");
    stage.expect_everybody_learns();
    stage.pass(4 * ELECTION);
    for node in &nodes {
        stage.dies(*node);
    }
    stage.world.set_back_untold(NodeId(node));
    stage.say(format!("n{node} is set back to the copy"));
    for node in &nodes {
        stage.starts(*node);
    }
    until_refused(&mut stage, node);
    let leader = stage.expect_leader(20 * ELECTION, &[node]);
    stage.read(leader, "x", "3");
    stage.finish()
}
