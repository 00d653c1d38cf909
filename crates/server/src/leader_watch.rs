//! Tells the operator who leads, and when no member does: without a leader the member works, but answers little.

use std::time::Duration;

use synod_paxos::node::NodeId;
use synod_paxos::time::Time;

use crate::repeats::Repeats;

/// Elections take less. With no leader for longer, a majority is probably out of reach.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a member has seen of leaders.
#[derive(Debug)]
pub(crate) struct LeaderWatch {
    leader: Option<NodeId>,
    /// Since when it is so.
    since: Time,
    repeats: Repeats,
}

/// What is worth a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LeaderNews {
    /// Another member leads than before.
    Leads(String),
    /// For long no member has led.
    Missing(String),
}

impl LeaderWatch {
    pub(crate) fn new(now: Time) -> LeaderWatch {
        LeaderWatch { leader: None, since: now, repeats: Repeats::default() }
    }

    /// `leader` is the one known now. `name` gives the operator's name for a member.
    pub(crate) fn look(
        &mut self,
        now: Time,
        leader: Option<NodeId>,
        name: impl FnOnce(NodeId) -> String,
    ) -> Option<LeaderNews> {
        if leader != self.leader {
            (self.leader, self.since) = (leader, now);
            let line = format!("{} leads", name(leader?));
            return self.repeats.line(now, &line).map(LeaderNews::Leads);
        }
        if leader.is_some() || now.since(self.since) < PATIENCE {
            return None;
        }
        let line = format!(
            "no member has led for {} s: writes and linearizable reads wait until a majority of the members is in touch",
            PATIENCE.as_secs()
        );
        // Counted anew after each wait, not each time that the voter looks.
        self.since = now;
        self.repeats.line(now, &line).map(LeaderNews::Missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M1: NodeId = NodeId(1);

    fn look(watch: &mut LeaderWatch, second: u64, leader: Option<NodeId>) -> Option<LeaderNews> {
        watch.look(Time::from_millis(1000 * second), leader, |node| format!("m{}", node.0))
    }

    #[test]
    fn a_leader_is_named_once_and_one_that_is_missing_for_long_is_reported() {
        let mut watch = LeaderWatch::new(Time::ZERO);
        assert_eq!(look(&mut watch, 1, None), None);
        assert_eq!(look(&mut watch, 2, Some(M1)), Some(LeaderNews::Leads("m1 leads".to_owned())));
        assert_eq!(look(&mut watch, 900, Some(M1)), None);
        assert_eq!(look(&mut watch, 901, None), None);
        assert_eq!(look(&mut watch, 905, None), None);
        assert!(matches!(look(&mut watch, 906, None), Some(LeaderNews::Missing(_))));
        assert_eq!(look(&mut watch, 907, None), None);
    }

    #[test]
    fn an_hour_without_a_leader_is_a_few_lines() {
        let mut watch = LeaderWatch::new(Time::ZERO);
        let news = (0..3600).filter_map(|second| look(&mut watch, second, None)).count();
        assert!((5..20).contains(&news), "{news} lines");
    }
}
