//! What replicas of Egalitarian Paxos forget, and what they must not.

#![allow(clippy::unwrap_used)]

mod support_egalitarian;

use support_egalitarian::{Cluster, cmd, id, n};
use synod_paxos::egalitarian::id::IdSet;

/// Everybody of `nodes` makes its state durable and tells the others how it stands, often enough to forget all.
fn forget(cluster: &mut Cluster, nodes: &[u64]) {
    let nodes: Vec<_> = nodes.iter().map(|node| n(*node)).collect();
    for _ in 0..4 {
        for node in &nodes {
            cluster.checkpoint(*node);
            cluster.tell_status(*node, &nodes);
        }
        cluster.run(|packet| !nodes.contains(&packet.to));
    }
}

/// n3 committed n3.1 with the help of n1, which did not hear of it, and is gone; n2 has executed it in the state of n3.
fn known_by_state() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.propose(n(3), cmd(1));
    cluster.run(|packet| packet.to == n(2) || (packet.to == n(1) && packet.message.name() == "commit"));
    cluster.checkpoint(n(3));
    cluster.hosts.get_mut(&n(2)).unwrap().state_needed = Some(n(3));
    assert!(cluster.install(n(2)));
    cluster.crash(n(3), 0);
    assert_eq!(cluster.host(n(1)).core.undecided(9), [id(3, 1)]);
    cluster
}

#[test]
fn what_was_executed_in_another_state_is_still_recovered_by_who_needs_it() {
    let mut cluster = known_by_state();
    cluster.with(n(1), |core| core.recover(id(3, 1)));
    cluster.run(|_| false);
    assert_eq!(cluster.host(n(1)).state[&0], [1]);
    assert!(cluster.host(n(2)).core.table().installed().is_empty(), "n2 has heard what it was");
}

#[test]
fn what_all_know_only_by_a_state_does_not_keep_them_from_forgetting() {
    let mut cluster = known_by_state();
    cluster.with(n(1), |core| core.recover(id(3, 1)));
    cluster.run(|packet| packet.message.name() == "recover");
    cluster.tell_status(n(2), &[n(1)]);
    cluster.run(|packet| packet.message.name() == "recover");
    assert!(cluster.install(n(1)), "n1, which cannot ask, takes the state of n2");

    for name in 2..=9 {
        cluster.propose(n(1 + u64::from(name % 2)), cmd(name));
        cluster.run(|_| false);
    }
    forget(&mut cluster, &[1, 2]);
    for node in [n(1), n(2)] {
        let core = &cluster.host(node).core;
        assert_eq!(core.executed().to_string(), "{n1.1-4, n2.1-4, n3.1}");
        assert_eq!(core.table().instances().count(), 0, "{node} still holds what all have executed");
        assert!(core.table().installed().is_empty());
    }
}

#[test]
fn what_a_recovery_waits_for_is_recovered_though_all_have_executed_it_in_a_state() {
    let mut cluster = Cluster::new(3);
    cluster.crash(n(2), 0);
    cluster.propose(n(1), cmd(1));
    cluster.run(|_| false);
    forget(&mut cluster, &[1, 3]);
    cluster.restart(n(2));
    // n3.1 is a no-op, committed by n1 with the vote of n2, and neither of the others hears of that. n1.2, which n2 alone
    // has heard of, does not depend on it.
    cluster.propose(n(3), cmd(2));
    cluster.run(|_| true);
    cluster.propose(n(1), cmd(3));
    cluster.run(|packet| packet.to != n(2) || packet.message.name() != "pre-accept");
    cluster.with(n(1), |core| core.recover(id(3, 1)));
    cluster.run(|packet| packet.to == n(3) || packet.message.name() == "commit");
    cluster.checkpoint(n(1));
    assert_eq!(cluster.host(n(1)).checkpoint.0.to_string(), "{n1.1, n3.1}");
    for (node, from) in [(2, 1), (3, 2)] {
        cluster.hosts.get_mut(&n(node)).unwrap().state_needed = Some(n(from));
        assert!(cluster.install(n(node)));
    }
    cluster.crash(n(1), 0);
    for _ in 0..3 {
        for open in cluster.host(n(2)).core.undecided(9) {
            cluster.with(n(2), |core| core.recover(open));
            cluster.run(|packet| packet.to == n(1));
        }
    }
    assert_eq!(cluster.host(n(2)).state[&0], [1, 3], "n1.2 was committed once it was clear what n3.1 was");
    assert_eq!(cluster.host(n(3)).state[&0], [1, 3]);
}

#[test]
fn what_another_state_lacks_is_held_from_the_moment_on_that_it_is_written() {
    let mut cluster = Cluster::new(3);
    cluster.propose(n(1), cmd(1));
    cluster.run(|_| false);
    for node in 1..=3 {
        cluster.checkpoint(n(node));
    }
    // A state without n1.1 is on its way to the disk of n1, where it takes the place of the one that has it.
    cluster.with(n(1), |core| core.prepare_install(&IdSet::default()));
    let tell = |cluster: &mut Cluster| {
        for node in (0..4).flat_map(|_| 1..=3) {
            cluster.tell_status(n(node), &[n(1), n(2), n(3)]);
            cluster.run(|_| false);
        }
    };
    tell(&mut cluster);
    let holds = |cluster: &Cluster, node| cluster.host(n(node)).core.table().instance(id(1, 1)).is_some();
    assert!(holds(&cluster, 1), "it could not execute n1.1 again on top of that state");
    forget(&mut cluster, &[1, 2, 3]);
    assert!(!holds(&cluster, 1), "a later state has it");
}
