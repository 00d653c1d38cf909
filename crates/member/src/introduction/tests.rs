use super::*;

const CLUSTER: ClusterId = ClusterId(7);
const NAMES: [&str; 3] = ["a", "b", "c"];

fn start(number: u64, nonce: u64) -> Incarnation {
    Incarnation { start: number, nonce }
}

fn me(name: &str, node: u64, starts: &[Incarnation]) -> Me {
    Me {
        cluster: CLUSTER,
        name: name.to_owned(),
        node: NodeId(node),
        starts: starts.to_vec(),
        recovered: 0,
        beginning: Beginning::default(),
        founds: true,
        client_urls: vec![format!("http://{name}:2379")],
    }
}

fn process(me: Me, roster: Option<Roster>) -> Introductions {
    Introductions::new(me, NAMES.map(str::to_owned), roster)
}

fn roster(nodes: [u64; 3]) -> Roster {
    Roster::new(CLUSTER, NAMES.iter().zip(nodes).map(|(name, node)| ((*name).to_owned(), NodeId(node))))
        .unwrap()
}

/// Processes at the addresses of three members, and what they were told to do besides sending.
struct Group {
    processes: BTreeMap<String, Introductions>,
    wanted: Vec<(String, Action)>,
}

impl Group {
    fn new(processes: impl IntoIterator<Item = Introductions>) -> Group {
        let processes = processes.into_iter().map(|process| (process.me().name.clone(), process));
        Group { processes: processes.collect(), wanted: Vec::new() }
    }

    /// Founders on fresh disks 1, 2 and 3.
    fn fresh() -> Group {
        Group::new(NAMES.iter().zip(1..).map(|(name, node)| process(me(name, node, &[start(1, node)]), None)))
    }

    /// The same with the roster on every disk.
    fn founded() -> Group {
        let founded =
            |(name, node): (&&str, u64)| process(me(name, node, &[start(1, node)]), Some(roster([1, 2, 3])));
        Group::new(NAMES.iter().zip(1..).map(founded))
    }

    /// Everything is said and heard until nothing is left to say; rosters are durable at once.
    fn talk(&mut self) {
        loop {
            let mut sent = Vec::new();
            for (name, process) in &mut self.processes {
                while let Some(action) = process.poll_action() {
                    match action {
                        Action::Send { to, hello } => {
                            sent.push((name.clone(), process.speaker(), to, *hello))
                        }
                        Action::Hold(roster) => {
                            self.wanted.push((name.clone(), Action::Hold(roster.clone())));
                            process.handle_held(roster);
                        }
                        Action::Met { .. } => {}
                        other => self.wanted.push((name.clone(), other)),
                    }
                }
            }
            if sent.is_empty() {
                return;
            }
            for (from, speaker, to, hello) in sent {
                if let Some(process) = self.processes.get_mut(&to) {
                    process.handle_hello(&from, speaker, hello).unwrap();
                }
            }
        }
    }

    /// Rounds in which every process asks.
    fn rounds(&mut self) {
        for _ in 0..4 {
            self.processes.values_mut().for_each(Introductions::ask);
            self.talk();
        }
    }

    fn restart(&mut self, process: Introductions) {
        self.processes.insert(process.me().name.clone(), process);
    }

    fn admits(&self, at: &str, from: &str) -> bool {
        self.processes[at].admits(from, &self.processes[from].speaker())
    }

    fn stopped(&self) -> Vec<(&str, &Action)> {
        let stops = |action: &&(String, Action)| matches!(action.1, Action::Refused(_) | Action::End(_));
        self.wanted.iter().filter(stops).map(|(name, action)| (name.as_str(), action)).collect()
    }
}

#[test]
fn founders_agree_on_their_disks_and_admit_each_other_once_both_hold_the_roster() {
    let mut group = Group::fresh();
    assert!(!group.admits("a", "b"));
    group.rounds();
    for at in NAMES {
        assert_eq!(group.processes[at].roster(), Some(&roster([1, 2, 3])), "{at}");
        assert!(NAMES.iter().all(|from| *from == at || group.admits(at, from)), "{at}");
        assert!(group.processes[at].is_complete() && group.processes[at].missing().is_empty());
    }
}

#[test]
fn founding_needs_every_founder_once_and_names_the_one_that_is_missing() {
    let mut group = Group::fresh();
    let c = group.processes.remove("c").unwrap();
    group.rounds();
    assert!(group.processes.values().all(|process| process.roster().is_none()));
    assert_eq!(group.processes["b"].missing(), [("c".to_owned(), "has not answered".to_owned())]);
    group.restart(c);
    group.rounds();
    // From here on two are enough: c is away, and b starts again.
    group.processes.remove("c");
    group.restart(process(me("b", 2, &[start(1, 2), start(2, 5)]), Some(roster([1, 2, 3]))));
    group.rounds();
    assert!(group.admits("a", "b") && group.admits("b", "a"));
}

#[test]
fn existing_never_decides_and_adopts_what_the_decider_has_decided() {
    let mut group = Group::fresh();
    let existing =
        |name: &str, node| process(Me { founds: false, ..me(name, node, &[start(1, node)]) }, None);
    group.restart(existing("a", 1));
    group.rounds();
    assert!(
        group.processes.values().all(|process| process.roster().is_none()),
        "the first by name may not decide"
    );
    let mut group = Group::fresh();
    group.restart(existing("c", 3));
    group.rounds();
    assert_eq!(group.processes["c"].roster(), Some(&roster([1, 2, 3])));
}

#[test]
fn a_lost_disk_is_a_stranger_that_ends_with_the_reason_and_writes_nothing() {
    let mut group = Group::founded();
    group.rounds();
    group.restart(process(me("c", 13, &[start(1, 9)]), None));
    group.rounds();
    assert!(!group.admits("a", "c") && !group.admits("b", "c") && group.admits("a", "b"));
    let [(name, Action::End(reason))] = group.stopped()[..] else { panic!("{:?}", group.stopped()) };
    assert!(name == "c" && reason.contains("another disk"), "{name}: {reason}");
}

#[test]
fn a_disk_that_recovers_fewer_records_than_it_told_is_refused_for_good() {
    let mut group = Group::founded();
    group.rounds();
    group.processes.get_mut("a").unwrap().handle_told(NodeId(3), start(1, 3), 40);
    let restarted = |recovered| {
        let me = Me { recovered, ..me("c", 3, &[start(1, 3), start(2, 8)]) };
        process(me, Some(roster([1, 2, 3])))
    };
    group.restart(restarted(40));
    group.rounds();
    assert!(group.admits("a", "c") && group.admits("c", "a") && group.stopped().is_empty());
    group.restart(process(
        Me { recovered: 39, ..me("c", 3, &[start(1, 3), start(2, 7)]) },
        Some(roster([1, 2, 3])),
    ));
    group.rounds();
    assert!(!group.admits("a", "c"));
    let [("c", Action::Refused(reason))] = group.stopped()[..] else { panic!("{:?}", group.stopped()) };
    assert!(reason.contains("39") && reason.contains("40"), "{reason}");
}

#[test]
fn a_process_that_cannot_show_the_nonce_of_a_registered_start_is_refused() {
    // (The start in the log, the starts shown, whether they go together.)
    let cases: &[(Incarnation, &[Incarnation], bool)] = &[
        (start(3, 9), &[start(3, 9)], true),
        (start(3, 9), &[start(3, 9), start(4, 1)], true),
        // The log seen here is older than the one that the process has seen.
        (start(3, 9), &[start(5, 1)], true),
        (start(3, 9), &[start(3, 8)], false),
        (start(3, 9), &[start(2, 4), start(3, 8), start(4, 1)], false),
        (start(3, 9), &[start(2, 4)], false),
        // A copy of an earlier start, started so often that it shows only the first and the newest of its starts.
        (start(3, 9), &[start(2, 4), start(1_012, 8), start(1_013, 7)], false),
    ];
    for (registered, shown, fits) in cases {
        let mut group = Group::founded();
        group.processes.get_mut("a").unwrap().handle_registered(NodeId(3), *registered);
        group.restart(process(me("c", 3, shown), Some(roster([1, 2, 3]))));
        group.rounds();
        assert_eq!(group.admits("a", "c"), *fits, "{registered:?} in the log, {shown:?} shown");
        assert_eq!(group.stopped().len(), usize::from(!fits));
    }
}

#[test]
fn a_process_that_was_admitted_is_judged_again_when_the_log_says_more() {
    let mut group = Group::founded();
    group.rounds();
    assert!(group.admits("a", "c"));
    group.processes.get_mut("a").unwrap().handle_registered(NodeId(3), start(1, 99));
    assert!(!group.admits("a", "c"));
    group.rounds();
    assert!(matches!(group.stopped()[..], [("c", Action::Refused(_))]), "{:?}", group.stopped());
}

#[test]
fn a_set_back_disk_without_a_roster_does_not_get_at_it_again() {
    let mut group = Group::founded();
    group.processes.get_mut("a").unwrap().handle_registered(NodeId(3), start(2, 9));
    group.processes.remove("b");
    group.restart(process(me("c", 3, &[start(1, 3)]), None));
    group.rounds();
    assert!(
        matches!(group.stopped()[..], [("c", Action::End(_))]),
        "nothing is written: {:?}",
        group.stopped()
    );
    assert_eq!(group.processes["c"].roster(), None);
}

#[test]
fn holders_of_other_rosters_only_report() {
    let mut group = Group::founded();
    group.restart(process(me("c", 3, &[start(1, 3)]), Some(roster([11, 12, 3]))));
    group.rounds();
    assert!(group.stopped().is_empty() && !group.admits("a", "c") && !group.admits("c", "a"));
    let (_, reason) = &group.processes["a"].strangers()[0];
    assert!(reason.contains("founded with other disks"), "{reason}");
}

#[test]
fn founders_of_another_cluster_or_under_another_name_are_named_as_the_reason() {
    let mut group = Group::fresh();
    let b = Me { cluster: ClusterId(8), ..me("b", 2, &[start(1, 2)]) };
    group.restart(process(b, None));
    group.rounds();
    assert!(group.processes["a"].missing()[0].1.contains("--initial-cluster"));
    assert!(group.processes.values().all(|process| process.roster().is_none()));
}

#[test]
fn two_founders_on_copies_of_one_directory_found_nothing() {
    let mut group = Group::fresh();
    group.restart(process(me("c", 2, &[start(1, 3)]), None));
    group.rounds();
    assert!(group.processes.values().all(|process| process.roster().is_none()));
    let missing = group.processes["a"].missing();
    assert!(missing.iter().any(|(_, reason)| reason.contains("copy")), "{missing:?}");
}

#[test]
fn founders_that_begin_with_other_states_found_nothing() {
    let mut group = Group::fresh();
    let beginning = Beginning { slot: synod_paxos::slot::Slot(9), hash: 5 };
    group.restart(process(Me { beginning, ..me("b", 2, &[start(1, 2)]) }, None));
    group.rounds();
    assert!(group.processes["a"].missing()[0].1.contains("another state"));
}

#[test]
fn an_answer_of_a_process_that_is_gone_is_void_once_its_successor_was_answered() {
    let mut b = process(me("b", 2, &[start(1, 2)]), None);
    b.ask_one("a");
    let Some(Action::Send { hello: question, .. }) = b.poll_action() else { panic!("it asks") };
    // The old a holds a roster; its answer is on its way while a new a, on an empty disk, asks b.
    let mut old = process(me("a", 1, &[start(1, 1)]), Some(roster([1, 2, 3])));
    old.handle_hello("b", b.speaker(), *question).unwrap();
    let Some(Action::Send { hello: late, .. }) = old.poll_action() else { panic!("it answers") };
    let mut new = process(me("a", 11, &[start(1, 4)]), None);
    new.ask_one("b");
    let Some(Action::Send { hello, .. }) = new.poll_action() else { panic!("it asks") };
    b.handle_hello("a", new.speaker(), *hello).unwrap();
    b.handle_hello("a", old.speaker(), *late).unwrap();
    assert_eq!(b.roster(), None);
    let adopted = std::iter::from_fn(|| b.poll_action()).any(|action| matches!(action, Action::Hold(_)));
    assert!(!adopted, "b has told the new a that it holds nothing");
}

#[test]
fn frames_count_only_from_the_process_that_answered_last_at_the_address() {
    let mut group = Group::founded();
    group.rounds();
    let clone = Speaker { incarnation: start(1, 77), ..group.processes["c"].speaker() };
    assert!(!group.processes["a"].admits("c", &clone), "it runs elsewhere on a copy");
    let stranger = group.processes["b"].speaker();
    assert!(!group.processes["a"].admits("c", &stranger));
}

#[test]
fn processes_that_wait_for_a_third_do_not_ask_each_other_without_end() {
    let mut group = Group::fresh();
    group.processes.remove("c");
    for process in group.processes.values_mut() {
        process.ask();
    }
    // Each call delivers all that was sent and ends only when nothing more is said.
    group.talk();
    assert!(group.processes.values().all(|process| process.roster().is_none()));
}
