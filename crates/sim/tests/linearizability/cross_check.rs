//! The verdicts on thousands of small histories, compared with those of `stateright`'s tester, which tries every
//! order and prunes none.

use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use synod_sim::history::{Answer, Call, Operation, Outcome};
use synod_sim::linearizability::check;
use synod_sim::linearizability::store::Store;
use synod_sim::random::Random;

use crate::generator::{Mix, Shape, forget_revisions, history, lie};

const HISTORIES: u64 = 2000;
/// So many of each verdict there must be at least, or the comparison says little.
const EACH: usize = 250;

/// The plain store, as an object of `stateright`'s.
#[derive(Clone, Debug)]
struct Plain(Store);

impl SequentialSpec for Plain {
    type Op = Operation;
    type Ret = Answer;

    fn invoke(&mut self, operation: &Operation) -> Answer {
        self.0.apply(operation)
    }
}

/// The other checker's verdict. Whoever asks again after an unknown outcome is another thread to it.
fn verdict<Spec>(
    object: Spec,
    history: &[Call],
    op: impl Fn(&Operation) -> Spec::Op,
    ret: impl Fn(&Answer) -> Spec::Ret,
) -> bool
where
    Spec: SequentialSpec + Clone,
    Spec::Op: Clone + std::fmt::Debug,
    Spec::Ret: Clone + std::fmt::Debug,
{
    let mut events = Vec::new();
    let mut threads: Vec<u64> = (0..100).collect();
    let mut fresh = 100;
    for call in history.iter().filter(|call| call.outcome != Outcome::Failed) {
        let thread = &mut threads[usize::try_from(call.client).unwrap()];
        events.push((call.called, *thread, Ok(&call.operation)));
        match &call.outcome {
            Outcome::Answered { at, answer, .. } => events.push((*at, *thread, Err(answer))),
            Outcome::Failed | Outcome::Unknown => {
                *thread = fresh;
                fresh += 1;
            }
        }
    }
    events.sort_by_key(|(time, ..)| *time);
    let mut tester = LinearizabilityTester::new(object);
    for (_, thread, event) in events {
        match event {
            Ok(operation) => tester.on_invoke(thread, op(operation)).unwrap(),
            Err(answer) => tester.on_return(thread, ret(answer)).unwrap(),
        };
    }
    tester.is_consistent()
}

/// Draws histories, makes every other one lie, and compares the verdicts.
fn compare(name: &str, shape: impl Fn(&mut Random) -> Shape, other: impl Fn(&[Call]) -> bool) {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..HISTORIES {
        let mut random = Random::new(seed, name);
        let shape = shape(&mut random);
        let mut history = history(&mut random, shape);
        if random.chance(500) {
            history = lie(&mut random, &history).unwrap_or(history);
        }
        if random.chance(500) {
            forget_revisions(&mut history);
        }
        let verdict = check(&history);
        assert_eq!(verdict.is_ok(), other(&history), "{name}, seed {seed}: {verdict:?}\n{history:#?}");
        *(if verdict.is_ok() { &mut good } else { &mut bad }) += 1;
    }
    println!("{name}: {good} with an order, {bad} without");
    assert!(good >= EACH && bad >= EACH, "{name}: {good} with an order, {bad} without");
}

fn small(random: &mut Random, mix: Mix, keys: u64) -> Shape {
    let values = random.chance(700).then_some(2);
    Shape { clients: random.between(2, 4), calls: 8, keys, unknown: 250, mix, values }
}

fn plain(history: &[Call]) -> bool {
    verdict(Plain(Store::default()), history, Operation::clone, Answer::clone)
}

#[test]
fn on_a_register_both_checkers_agree() {
    let op = |operation: &Operation| match operation {
        Operation::Put { value, .. } => RegisterOp::Write(Some(value.clone())),
        Operation::Get { .. } => RegisterOp::Read,
        other => panic!("{other:?}"),
    };
    let ret = |answer: &Answer| match answer {
        Answer::Done => RegisterRet::WriteOk,
        Answer::Value(found) => RegisterRet::ReadOk(found.clone()),
        other => panic!("{other:?}"),
    };
    compare(
        "register",
        |random| small(random, Mix::Register, 1),
        |history| verdict(Register(None::<String>), history, op, ret),
    );
}

#[test]
fn on_appends_and_deletes_both_checkers_agree() {
    compare("keys", |random| small(random, Mix::Keys, 1), plain);
}

#[test]
fn on_several_keys_at_once_both_checkers_agree() {
    compare("several keys", |random| small(random, Mix::Keys, 2), plain);
}

#[test]
fn on_transactions_both_checkers_agree() {
    compare("transactions", |random| small(random, Mix::Transactions, 2), plain);
}

#[test]
fn on_lists_both_checkers_agree() {
    compare("lists", |random| small(random, Mix::Lists, 1), plain);
}

#[test]
fn on_proposals_both_checkers_agree() {
    compare("proposals", |random| small(random, Mix::Proposals, 1), plain);
}
