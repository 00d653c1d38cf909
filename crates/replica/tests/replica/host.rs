use synod_paxos::node::NodeId;
use synod_paxos::protocol::Protocol;
use synod_replica::host::Outcome;
use synod_replica::textbook::{Command, Reply};
use synod_replica::wire::{Frame, decode, encode};

use crate::cluster::{Cluster, Multi};

const N: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

fn append(text: &str) -> Command {
    Command::Append { key: "list".to_owned(), text: text.to_owned() }
}

fn get() -> Command {
    Command::Get { key: "list".to_owned() }
}

fn value(text: &str) -> Outcome<Reply> {
    Outcome::Executed(Reply::Value(Some(text.to_owned())))
}

#[test]
fn commands_given_to_any_replica_are_executed_once_by_all() {
    let mut cluster = Cluster::new(3);
    for (node, text) in N.into_iter().zip(["a", "b", "c"]) {
        assert_eq!(cluster.ask(node, append(text)), Outcome::Executed(Reply::Done));
    }
    assert_eq!(cluster.ask(N[1], get()), value("abc"));
    cluster.wait_until(|cluster| N.iter().all(|node| cluster.replica(*node).executed() == 4));
    for node in N {
        assert_eq!(cluster.replica(node).machine().get("list"), Some("abc"));
    }
    assert!(cluster.rejected.is_empty());
}

#[test]
fn all_replicas_start_again_from_snapshot_and_journal_with_nothing_lost() {
    let mut cluster = Cluster::new(3);
    let mut expected = String::new();
    for round in 0..120 {
        let text = format!("<{round}>");
        assert_eq!(cluster.ask(N[round % 3], append(&text)), Outcome::Executed(Reply::Done));
        expected.push_str(&text);
        if round % 40 == 39 {
            N.into_iter().for_each(|node| cluster.stop(node));
            N.into_iter().for_each(|node| cluster.start(node));
        }
    }
    assert_eq!(cluster.ask(N[0], get()), value(&expected));
}

#[test]
fn a_replica_that_was_away_for_long_takes_over_the_state_of_another() {
    let mut cluster = Cluster::new(3);
    cluster.ask(N[0], append("<first>"));
    cluster.stop(N[2]);
    for round in 0..200 {
        cluster.ask(N[round % 2], append(&format!("<{round}>")));
    }
    cluster.start(N[2]);
    let executed = cluster.replica(N[0]).executed();
    assert!(cluster.replica(N[2]).executed() < executed);
    cluster.wait_until(|cluster| cluster.replica(N[2]).executed() == executed);
    assert_eq!(cluster.replica(N[2]).machine(), cluster.replica(N[0]).machine());
    // And from its own disk again.
    cluster.stop(N[2]);
    cluster.start(N[2]);
    cluster.wait_until(|cluster| cluster.replica(N[2]).executed() == executed);
    assert_eq!(cluster.replica(N[2]).machine(), cluster.replica(N[0]).machine());
}

/// The third replica, which does not run, asks the first one for a part. Which snapshot it gets, and from where on.
fn part(cluster: &mut Cluster, snapshot: Option<u32>, offset: u64) -> Option<(u32, u64)> {
    type Wire = Frame<<Multi as Protocol>::Message>;
    cluster.undelivered.clear();
    cluster.deliver(N[2], N[0], &encode(&Wire::WantSnapshot { snapshot, offset }));
    let frames = cluster.undelivered.iter().map(|frame| decode::<Wire>(frame).unwrap());
    frames.into_iter().find_map(|frame| match frame {
        Frame::SnapshotPart { snapshot, offset, .. } => Some((snapshot, offset)),
        _ => None,
    })
}

#[test]
fn a_snapshot_that_is_fetched_is_sent_to_its_end_though_a_newer_one_is_there() {
    let mut cluster = Cluster::new(3);
    cluster.stop(N[2]);
    let write = |cluster: &mut Cluster| {
        (0..100).for_each(|round| drop(cluster.ask(N[0], append(&format!("<{round}>")))));
    };
    write(&mut cluster);
    let (first, _) = part(&mut cluster, None, 0).unwrap();
    write(&mut cluster);
    assert_eq!(part(&mut cluster, Some(first), 100), Some((first, 100)));
    let (newer, _) = part(&mut cluster, None, 0).unwrap();
    assert_ne!(newer, first);
    assert_eq!(part(&mut cluster, Some(first), 200), Some((newer, 0)), "it began anew, so the first is gone");
    assert_eq!(part(&mut cluster, Some(newer), 0), None, "it has all of it, and nothing newer is there yet");
    write(&mut cluster);
    let (newest, _) = part(&mut cluster, Some(newer), 0).unwrap();
    assert_ne!(newest, newer, "what it could not use is not sent again");
}

#[test]
fn a_command_without_a_quorum_is_unknown_in_the_end() {
    let mut cluster = Cluster::new(3);
    cluster.ask(N[0], append("a"));
    cluster.stop(N[1]);
    cluster.stop(N[2]);
    assert_eq!(cluster.ask(N[0], append("b")), Outcome::Unknown);
}

#[test]
fn garbage_and_strangers_are_refused_and_change_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.ask(N[0], append("a"));
    cluster.deliver(N[1], N[0], b"\xff\xff\xff\xff\xff\xff\xff\xff");
    cluster.deliver(N[1], N[0], b"");
    cluster.deliver(NodeId(9), N[0], b"\x00");
    assert_eq!(cluster.rejected.len(), 3, "{:?}", cluster.rejected);
    assert_eq!(cluster.ask(N[0], get()), value("a"));
}
