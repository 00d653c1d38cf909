//! Scenarios of Egalitarian Paxos: the textbook store without a leader (`facts/paxos.md` §8.54 to 60 by number).

use synod_paxos::egalitarian::core::Core;
use synod_paxos::egalitarian::id::CommandId;
use synod_paxos::egalitarian::instance::Instance;
use synod_paxos::node::NodeId;
use synod_replica::submission::Submission;
use synod_replica::textbook::Command;

use crate::history::Answer;
use crate::programs::replicated::{Egalitarian, Setup};
use crate::scenarios::Outcome;
use crate::scenarios::stage::{Asked, FROM_ANYONE, Stage, TO_ANYONE, from, to};
use crate::world::World;

fn holds(value: &str) -> Answer {
    Answer::Value(Some(value.to_owned()))
}

/// So many replicas, up and in touch.
fn started(seed: u64, count: u64) -> Stage<Egalitarian> {
    let mut stage = Stage::new(seed, count);
    stage.pass(700);
    stage
}

fn core(world: &World<Egalitarian>, node: u64) -> Option<&Core<Submission<Command>>> {
    world.program(NodeId(node)).map(|program| program.host().protocol().core())
}

impl Stage<Egalitarian> {
    /// Every running replica answers that `key` holds this.
    fn expect_everywhere(&mut self, nodes: &[u64], key: &str, value: &str) {
        for node in nodes {
            let asked = self.client(1_000 + node).gets(key).at(*node);
            self.expect_told(asked, &holds(value));
        }
    }

    /// Once a message of this name is held back between these two, it arrives.
    fn meet(&mut self, name: &str, sender: u64, receiver: u64) {
        self.until_held(name, from(sender), to(receiver), 10_000);
        self.deliver(name, from(sender), to(receiver));
    }

    /// What was held back of how `node` recovers a command arrives at these two.
    fn recovers(&mut self, id: &str, node: u64, others: [u64; 2]) {
        let name = format!("recover {id}");
        self.until_held(&name, from(node), to(others[1]), 10_000);
        for other in others {
            self.deliver(&name, from(node), to(other));
        }
    }

    /// It is agreed, and known here, that a command stands for nothing.
    fn becomes_nop(&mut self, id: CommandId, node: u64) {
        let is_nop = |world: &World<_>| {
            let instance = core(world, node).and_then(|it| it.table().instance(id));
            instance.is_some_and(Instance::is_nop)
        };
        self.until(&format!("{id} is a no-op"), 5_000, is_nop);
    }

    /// Writes at each of these in turn, so that they make their states durable, until something is so of all of them.
    fn writes_until(&mut self, nodes: &[u64], what: &str, so: impl Fn(&Core<Submission<Command>>) -> bool) {
        let everywhere = |world: &World<_>| nodes.iter().all(|node| core(world, *node).is_some_and(&so));
        for round in 1..=30_u64 {
            for node in nodes {
                let asked = self.client(*node).puts("y", &round.to_string()).at(*node);
                self.expect_told(asked, &Answer::Done);
            }
            self.pass(200);
            if everywhere(&self.world) {
                break;
            }
        }
        self.until(what, 0, everywhere);
    }

    /// The third one is away for so long that it is not waited for, and these two forget all that they knew before.
    fn forgets(&mut self, two: [u64; 2]) {
        self.pass(11_000);
        let before = core(&self.world, two[0]).map(|it| it.table().seen().clone()).unwrap_or_default();
        let what = format!("n{} and n{} have forgotten all that was written before", two[0], two[1]);
        self.writes_until(&two, &what, |it| it.table().collected().covers(&before));
    }

    fn expect_done(&mut self, asked: &[Asked]) {
        for asked in asked {
            self.expect_told(*asked, &Answer::Done);
        }
    }
}

/// Three clients write different keys at three replicas at once. Each is answered after one round trip: nobody is ever
/// asked to accept anything, and the death of any one replica stops nobody.
pub fn fast_path(seed: u64) -> Outcome {
    let mut stage = started(seed, 3);
    stage.lose("accept", FROM_ANYONE, TO_ANYONE);
    let first: Vec<Asked> =
        (1..=3).map(|node| stage.client(node).puts(&format!("k{node}"), "1").at(node)).collect();
    stage.expect_done(&first);
    stage.dies(2);
    let second: Vec<Asked> =
        [1, 3].map(|node| stage.client(node).puts(&format!("k{node}"), "2").at(node)).to_vec();
    stage.pass(5);
    let answered = second.iter().all(|asked| !stage.waits(*asked));
    stage.expect(answered, "within 5 ms, without waiting for anybody to be elected");
    stage.expect_done(&second);
    stage.finish()
}

/// §8.54: the owner commits with one other's help, answers its client, and dies before anybody hears of it.
pub fn owner_dies(seed: u64) -> Outcome {
    let mut stage = started(seed, 3);
    stage.lose("pre-accept", from(1), to(3));
    for name in ["commit", "status", "fetched"] {
        stage.lose(name, from(1), TO_ANYONE);
    }
    let asked = stage.client(1).puts("x", "1").at(1);
    stage.expect_told(asked, &Answer::Done);
    stage.dies(1);
    stage.expect_everywhere(&[2, 3], "x", "1");
    stage.finish()
}

/// §8.55: the schedule with which Sutra (2019, `CounterExample.tla`) has the original protocol, that keeps one ballot for
/// what it promised and what it voted with, commit one command with two meanings. n1 votes for a no-op with ballot 1 and
/// only promises ballot 3: who recovers with ballot 4 must prefer n3's vote with ballot 2. The steps one by one are a
/// script of the core's, `crates/paxos/tests/egalitarian_scripts.rs`.
pub fn published(seed: u64) -> Outcome {
    let mut stage = started(seed, 3);
    stage.isolate(3);
    let before = stage.client(1).puts("x", "1").at(1);
    stage.expect_done(&[before]);
    stage.hold("", FROM_ANYONE, TO_ANYONE);
    stage.reconnect(3);
    stage.client(3).puts("x", "3").at(3);
    stage.meet("pre-accept n3.1", 3, 1);
    stage.meet("recover n3.1 (1,n1)", 1, 2);
    stage.meet("recover-ok n3.1 (1,n1):", 2, 1);
    stage.until_held("accept n3.1 no-op", from(1), to(2), 1_000);
    stage.meet("pre-accept-ok n3.1", 1, 3);
    stage.dies(1);
    stage.meet("recover n3.1 (2,n2)", 2, 3);
    stage.meet("recover-ok n3.1 (2,n2):", 3, 2);
    stage.meet("accept n3.1 (2,n2)", 2, 3);
    stage.meet("accept-ok n3.1 (2,n2)", 3, 2);
    stage.until_held("commit n3.1", from(2), to(3), 1_000);
    stage.until_held("recover n3.1 (3,n3)", from(3), to(1), 10_000);
    stage.starts(1);
    stage.meet("recover n3.1 (3,n3)", 3, 1);
    stage.meet("recover n3.1 (4,n3)", 3, 1);
    stage.meet("recover-ok n3.1 (4,n3):", 1, 3);
    stage.meet("accept n3.1 (4,n3)", 3, 1);
    stage.meet("accept-ok n3.1 (4,n3)", 1, 3);
    stage.until_held("commit n3.1", from(3), to(2), 1_000);
    stage.let_through("", FROM_ANYONE, TO_ANYONE);
    stage.deliver("", FROM_ANYONE, TO_ANYONE);
    stage.expect_everywhere(&[1, 2, 3], "x", "3");
    stage.finish()
}

/// §8.56: n1 dies while it asks, and n2 and n3 recover its command at the same time.
pub fn two_recoveries(seed: u64) -> Outcome {
    let mut stage = started(seed, 5);
    for other in [4, 5] {
        stage.lose("pre-accept", from(1), to(other));
    }
    stage.lose("pre-accept-ok", FROM_ANYONE, to(1));
    stage.hold("recover", FROM_ANYONE, TO_ANYONE);
    stage.client(1).puts("x", "1").at(1);
    stage.pass(20);
    stage.dies(1);
    stage.until_held("recover", from(2), TO_ANYONE, 5_000);
    stage.until_held("recover", from(3), TO_ANYONE, 5_000);
    stage.deliver("recover", from(3), to(4));
    stage.deliver("recover", from(2), to(4));
    stage.deliver("recover", from(2), to(5));
    stage.deliver("recover", from(3), to(5));
    stage.let_through("recover", FROM_ANYONE, TO_ANYONE);
    stage.deliver("recover", FROM_ANYONE, TO_ANYONE);
    let after = stage.client(2).puts("x", "2").at(2);
    stage.expect_done(&[after]);
    stage.expect_everywhere(&[2, 3, 4, 5], "x", "2");
    stage.finish()
}

/// §8.57: the owners of two commands that interfere are gone. n1's may have been committed on the fast path, and n2's
/// speaks against it: its recovery has to wait. n2's cannot have been, becomes a no-op, and ends the wait.
pub fn waiting(seed: u64) -> Outcome {
    let mut stage = started(seed, 5);
    for (owner, others) in [(1, &[2, 5][..]), (2, &[1, 3, 4])] {
        for other in others {
            stage.lose("pre-accept", from(owner), to(*other));
        }
        stage.lose("pre-accept-ok", FROM_ANYONE, to(owner));
    }
    stage.hold("recover n2.1", FROM_ANYONE, TO_ANYONE);
    stage.hold("waiting n1.1,", FROM_ANYONE, TO_ANYONE);
    stage.client(1).puts("x", "1").at(1);
    stage.client(2).puts("x", "2").at(2);
    stage.pass(20);
    stage.dies(1);
    stage.dies(2);
    stage.until_held("waiting n1.1,", FROM_ANYONE, TO_ANYONE, 10_000);
    stage.let_through("recover n2.1", FROM_ANYONE, TO_ANYONE);
    stage.deliver("recover n2.1", FROM_ANYONE, TO_ANYONE);
    stage.let_through("waiting n1.1,", FROM_ANYONE, TO_ANYONE);
    stage.deliver("waiting n1.1,", FROM_ANYONE, TO_ANYONE);
    stage.expect_everywhere(&[3, 4, 5], "x", "1");
    stage.finish()
}

/// n2 recovers n1's command, and waits for n3's, which speaks against it. n3's is committed as it is: so n1's cannot have
/// been committed, and becomes a no-op.
pub fn waits_against(seed: u64) -> Outcome {
    let mut stage = started(seed, 5);
    for other in [3, 4, 5] {
        stage.lose("pre-accept n1.1", from(1), to(other));
    }
    for other in [1, 2] {
        stage.lose("pre-accept n3.1", from(3), to(other));
    }
    stage.hold("pre-accept n3.1", from(3), to(5));
    // Nobody else is to recover anything.
    stage.lose("status", FROM_ANYONE, TO_ANYONE);
    stage.lose("recover n3.1", FROM_ANYONE, TO_ANYONE);
    stage.hold("recover n1.1", FROM_ANYONE, TO_ANYONE);
    stage.hold("waiting n1.1,", from(2), TO_ANYONE);
    stage.client(1).puts("x", "1").at(1);
    stage.client(3).puts("x", "3").at(3);
    stage.pass(20);
    stage.dies(1);
    stage.recovers("n1.1", 2, [3, 4]);
    stage.until_held("waiting n1.1,", from(2), to(5), 100);
    stage.let_through("pre-accept n3.1", from(3), to(5));
    stage.deliver("pre-accept n3.1", from(3), to(5));
    stage.becomes_nop(CommandId::new(NodeId(1), 1), 2);
    stage.let_through("", FROM_ANYONE, TO_ANYONE);
    stage.expect_everywhere(&[2, 3, 4, 5], "x", "3");
    stage.finish()
}

/// n3 recovers n1's command and waits for n2's; n5 recovers n2's and waits for n1's. n2's has so many supporters that n1's
/// cannot have been committed on the fast path: n3 gives way, and n5 must not, for meanwhile n2 has answered its client.
pub fn gives_way(seed: u64) -> Outcome {
    let mut stage = started(seed, 5);
    for other in [2, 4, 5] {
        stage.lose("pre-accept n1.1", from(1), to(other));
    }
    for other in [1, 3] {
        stage.lose("pre-accept n2.1", from(2), to(other));
    }
    stage.hold("pre-accept-ok n2.1", FROM_ANYONE, to(2));
    stage.lose("commit n2.1", from(2), TO_ANYONE);
    stage.lose("nack n2.1", FROM_ANYONE, to(2));
    // Who has not heard of a command by anything else does not recover it.
    stage.lose("status", FROM_ANYONE, TO_ANYONE);
    for name in ["recover n1.1", "recover n2.1", "waiting"] {
        stage.hold(name, FROM_ANYONE, TO_ANYONE);
    }
    stage.client(1).puts("x", "1").at(1);
    let answered = stage.client(2).puts("x", "2").at(2);
    stage.pass(20);
    stage.dies(1);
    stage.until_held("recover n1.1", from(3), to(4), 10_000);
    stage.until_held("recover n2.1", from(5), to(4), 10_000);
    stage.recovers("n1.1", 3, [2, 4]);
    stage.until_held("waiting n1.1,", from(3), to(5), 100);
    stage.recovers("n2.1", 5, [3, 4]);
    stage.until_held("waiting n2.1,", from(5), to(3), 100);
    stage.deliver("pre-accept-ok n2.1", FROM_ANYONE, to(2));
    stage.expect_told(answered, &Answer::Done);
    stage.dies(2);
    stage.deliver("waiting n1.1,", from(3), to(5));
    stage.pass(5);
    stage.deliver("waiting n2.1,", from(5), to(3));
    stage.becomes_nop(CommandId::new(NodeId(1), 1), 3);
    stage.let_through("", FROM_ANYONE, TO_ANYONE);
    stage.expect_everywhere(&[3, 4, 5], "x", "2");
    stage.finish()
}

/// §8.58: three commands on one key, each of which depends on the next: n1's on n2's, n2's on n3's, n3's on n1's. All
/// three are executed at once, everywhere in the order of their identities.
pub fn cycle(seed: u64) -> Outcome {
    let mut stage = started(seed, 3);
    for (owner, next, other) in [(1, 2, 3), (2, 3, 1), (3, 1, 2)] {
        stage.lose("pre-accept", from(owner), to(other));
        stage.hold("pre-accept", from(owner), to(next));
    }
    let asked: Vec<Asked> =
        (1..=3).map(|node| stage.client(node).puts("x", &node.to_string()).at(node)).collect();
    stage.pass(20);
    let arrived = stage.deliver("pre-accept", FROM_ANYONE, TO_ANYONE);
    stage.expect(arrived >= 3, "each asks the next one, which has a command of its own by then");
    for (owner, next, other) in [(1, 2, 3), (2, 3, 1), (3, 1, 2)] {
        stage.let_through("pre-accept", from(owner), to(other));
        stage.let_through("pre-accept", from(owner), to(next));
    }
    stage.expect_done(&asked);
    stage.expect_everywhere(&[1, 2, 3], "x", "3");
    stage.finish()
}

/// §8.59: three clients write one key without a pause, so that every command depends on others that are not committed.
/// Each is answered all the same while the others go on.
pub fn endless(seed: u64) -> Outcome {
    const ROUNDS: u64 = 300;
    let mut stage = started(seed, 3);
    let mut asked = Vec::new();
    for round in 0..ROUNDS {
        for node in 1..=3 {
            let client = 3 * round + node;
            asked.push(stage.client(client).appends("x", "+").at(node));
        }
        stage.world.run_until(stage.world.now() + 100_000);
    }
    let answered = asked.iter().filter(|asked| !stage.waits(**asked)).count();
    let enough = answered > asked.len() / 4;
    stage.until(&format!("{answered} are answered while others keep coming"), 0, |_| enough);
    stage.expect_done(&asked);
    let all = "+".repeat(asked.len());
    stage.expect_everywhere(&[1, 2, 3], "x", &all);
    stage.finish()
}

/// n1's command depends on one of n3's, of which n1 and n2 have the name only. n3 is gone, and both restart before they
/// have asked each other about it. They must still know that there is something to ask about.
pub fn orphan(seed: u64) -> Outcome {
    let mut stage = started(seed, 3);
    stage.lose("pre-accept n3.1", from(3), TO_ANYONE);
    stage.lose("status", from(3), TO_ANYONE);
    stage.lose("pre-accept n1.1", from(1), to(2));
    stage.hold("commit n1.1", from(1), to(2));
    stage.client(3).puts("x", "3").at(3);
    stage.pass(20);
    stage.client(1).puts("x", "1").at(1);
    stage.meet("commit n1.1", 1, 2);
    for node in 1..=3 {
        stage.dies(node);
    }
    stage.starts(1);
    stage.starts(2);
    stage.expect_everywhere(&[1, 2], "x", "1");
    stage.finish()
}

/// n1 helped n3 to commit a command and heard no more of it; n2, which was away, took n3's state with it; and n3 is gone
/// for good. n1 cannot ask n2 about it, takes the state as well, and in the end all that is newer is forgotten.
pub fn known_by_state(seed: u64) -> Outcome {
    let mut stage = Stage::of(seed, 3, 2, Setup { snapshot_bytes: 100, ..Setup::default() });
    stage.pass(700);
    stage.dies(2);
    stage.forgets([1, 3]);
    for name in ["commit", "status", "fetched"] {
        stage.lose(name, from(3), to(1));
    }
    stage.lose("recover", from(1), TO_ANYONE);
    let asked = stage.client(3).puts("x", "3").at(3);
    stage.expect_told(asked, &Answer::Done);
    let counter = core(&stage.world, 3).map_or(0, |it| it.table().seen().of(NodeId(3)));
    let id = CommandId::new(NodeId(3), counter);
    let is_durable = |it: &Core<_>| it.collection().executed().contains(id);
    stage.writes_until(&[3], "the state of n3 is durable, with x in it", is_durable);
    stage.lose("status", from(1), to(2));
    stage.lose("fetch", from(2), TO_ANYONE);
    stage.starts(2);
    let took_over = |world: &World<_>| core(world, 2).is_some_and(|it| it.table().installed().contains(id));
    stage.until("n2 takes that state", 5_000, took_over);
    stage.dies(3);
    stage.let_through("status", from(1), to(2));
    stage.let_through("fetch", from(2), TO_ANYONE);
    let executed = |world: &World<_>| core(world, 1).is_some_and(|it| it.executed().contains(id));
    stage.until("n1 takes it from n2", 5_000, executed);
    stage.let_through("recover", from(1), TO_ANYONE);
    stage.expect_everywhere(&[1, 2], "x", "3");
    stage.forgets([1, 2]);
    stage.finish()
}

/// §8.60: n1 is slow, and n2 recovers its command. n1 answers that it has not committed it, so it becomes a no-op. n1
/// proposes it again under another identity, and it is executed once.
pub fn once(seed: u64) -> Outcome {
    let mut stage = started(seed, 3);
    stage.lose("pre-accept n1.1", from(1), to(3));
    stage.hold("pre-accept-ok n1.1", from(2), to(1));
    stage.lose("recover", FROM_ANYONE, to(3));
    stage.lose("recover", from(3), TO_ANYONE);
    stage.hold("commit n1.1 no-op", FROM_ANYONE, to(3));
    let asked = stage.client(1).appends("x", "a").at(1);
    stage.until_held("commit n1.1 no-op", FROM_ANYONE, to(3), 10_000);
    stage.let_through("commit n1.1 no-op", FROM_ANYONE, to(3));
    stage.deliver("commit n1.1 no-op", FROM_ANYONE, to(3));
    stage.deliver("pre-accept-ok n1.1", from(2), to(1));
    stage.expect_done(&[asked]);
    stage.expect_everywhere(&[1, 2, 3], "x", "a");
    stage.finish()
}
