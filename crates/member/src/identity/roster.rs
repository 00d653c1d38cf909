//! Which disks make up a cluster, under which names.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use synod_paxos::config::ClusterId;
use synod_paxos::membership::Membership;
use synod_paxos::node::NodeId;
use synod_paxos::quorum::QuorumError;

use crate::codec::{DecodeError, Reader, Writer};

/// The members of a configuration: names with node ids.
///
/// **Invariant:** the nodes make a configuration: there is at least one, and each stands under one name only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Roster {
    cluster: ClusterId,
    members: BTreeMap<String, NodeId>,
}

impl Roster {
    /// The roster of `members` in `cluster`.
    ///
    /// # Errors
    /// If there is no member, or two names stand for one disk.
    pub fn new(
        cluster: ClusterId,
        members: impl IntoIterator<Item = (String, NodeId)>,
    ) -> Result<Roster, QuorumError> {
        let roster = Roster { cluster, members: members.into_iter().collect() };
        Membership::founding(roster.members.values().copied())?;
        Ok(roster)
    }

    /// The cluster that was founded with it.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The disk of the member called `name`.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.members.get(name).copied()
    }

    /// The name under which `node` stands.
    pub fn name(&self, node: NodeId) -> Option<&str> {
        self.members.iter().find(|(_, member)| **member == node).map(|(name, _)| name.as_str())
    }

    /// All members, by name.
    pub fn members(&self) -> &BTreeMap<String, NodeId> {
        &self.members
    }

    /// All nodes.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.members.values().copied().collect()
    }

    /// The configuration that it makes.
    pub fn membership(&self) -> Membership {
        Membership::founding(self.nodes()).expect("checked when the roster was made")
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.cluster.0);
        out.count(self.members.len());
        for (name, node) in &self.members {
            out.bytes(name.as_bytes());
            out.put_u64_le(node.0);
        }
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Roster, DecodeError> {
        let cluster = ClusterId(reader.u64("cluster of the roster")?);
        let members = reader
            .list("roster", |reader| Ok((reader.text("name of a member")?, NodeId(reader.u64("member")?))))?;
        let ordered = members.is_sorted_by(|(earlier, _), (later, _)| earlier < later);
        let roster = Roster::new(cluster, members).ok().filter(|_| ordered);
        roster.ok_or(DecodeError::Contradiction("roster"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_disk_under_two_names_makes_no_roster() {
        let members = |b| [("a".to_owned(), NodeId(1)), ("b".to_owned(), NodeId(b))];
        assert!(Roster::new(ClusterId(7), members(1)).is_err(), "one directory is a copy of the other");
        assert!(Roster::new(ClusterId(7), []).is_err());
        let roster = Roster::new(ClusterId(7), members(2)).unwrap();
        assert_eq!((roster.node("b"), roster.name(NodeId(2))), (Some(NodeId(2)), Some("b")));
        assert_eq!((roster.node("c"), roster.name(NodeId(3))), (None, None));
    }
}
