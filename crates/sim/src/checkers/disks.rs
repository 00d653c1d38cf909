//! What a disk may do: it takes part in the cluster whose roster names it, and in no other; and not if it was set back.

use std::collections::BTreeMap;

use synod_paxos::node::NodeId;

use crate::check::Violation;
use crate::checkers::violated;

/// Which disk belongs at which address.
type Roster = BTreeMap<NodeId, NodeId>;

#[derive(Debug)]
struct Disk {
    /// The low half of its identity.
    id: NodeId,
    /// Whether it is an earlier copy of itself, and has forgotten what it did since.
    set_back: bool,
    roster: Option<Roster>,
}

/// The disks that are in the machines now, by the machines' addresses.
#[derive(Debug, Default)]
pub struct Disks(BTreeMap<NodeId, Disk>);

impl Disks {
    /// From now on the machine at `address` has the disk `id`, which holds no roster unless it says so.
    pub fn insert(&mut self, address: NodeId, id: NodeId, set_back: bool) {
        self.0.insert(address, Disk { id, set_back, roster: None });
    }

    /// The disk at `address` durably holds this roster, perhaps since long ago.
    ///
    /// # Errors
    /// If it names another disk there, or is not the one that it or another disk holds.
    pub fn hold(&mut self, address: NodeId, roster: Roster) -> Result<(), Violation> {
        let Some(disk) = self.0.get(&address) else { return Ok(()) };
        if roster.get(&address) != Some(&disk.id) {
            return violated("Roster", format!("{address} has the disk {}, and holds {roster:?}", disk.id));
        }
        // A disk that was set back may hold a roster that was lost with all other disks that held it.
        let comparable = self.0.values().filter(|other| !disk.set_back && !other.set_back);
        let other = comparable.chain([disk]).filter_map(|other| other.roster.as_ref());
        if let Some(other) = other.filter(|held| **held != roster).min() {
            return violated("Roster", format!("{address} holds {roster:?}, where {other:?} is held"));
        }
        self.0.entry(address).and_modify(|disk| disk.roster = Some(roster));
        Ok(())
    }

    /// The disk at `address` has promised something or voted.
    ///
    /// # Errors
    /// If it holds no roster, or was set back.
    pub fn speak(&self, address: NodeId) -> Result<(), Violation> {
        match self.0.get(&address) {
            Some(Disk { set_back: true, id, .. }) => violated(
                "Roster",
                format!("{address} promises or votes with the disk {id}, which was set back"),
            ),
            Some(Disk { roster: None, id, .. }) => violated(
                "Roster",
                format!("{address} promises or votes with the disk {id}, which holds no roster"),
            ),
            _ => Ok(()),
        }
    }

    /// Whether all of them hold the roster.
    pub fn all_hold(&self) -> bool {
        self.0.values().all(|disk| disk.roster.is_some())
    }

    /// Whether no other disk than the one at `address` holds the roster.
    pub fn holds_alone(&self, address: NodeId) -> bool {
        self.0.iter().all(|(other, disk)| (*other == address) == disk.roster.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const NEW_B: NodeId = NodeId(0x1_0002);

    fn disks() -> Disks {
        let mut disks = Disks::default();
        disks.insert(A, A, false);
        disks.insert(B, B, false);
        disks
    }

    fn roster(b: NodeId) -> Roster {
        Roster::from([(A, A), (B, b)])
    }

    #[test]
    fn a_disk_speaks_once_it_holds_a_roster() {
        let mut disks = disks();
        assert!(disks.speak(A).is_err());
        assert!(disks.hold(A, roster(B)).is_ok() && disks.hold(A, roster(B)).is_ok());
        assert!(disks.speak(A).is_ok() && disks.holds_alone(A) && !disks.holds_alone(B));
        assert!(disks.hold(B, roster(B)).is_ok() && disks.all_hold() && !disks.holds_alone(A));
    }

    #[test]
    fn a_roster_names_the_disk_that_holds_it_and_there_is_one() {
        let mut disks = disks();
        assert!(disks.hold(A, roster(B)).is_ok());
        disks.insert(B, NEW_B, false);
        assert!(disks.hold(B, roster(B)).is_err(), "it names the disk that is gone");
        assert!(disks.hold(B, roster(NEW_B)).is_err(), "another is held");
        assert!(disks.hold(A, roster(NEW_B)).is_err(), "a disk holds one forever");
        disks.insert(A, NodeId(0x1_0001), false);
        let founded_anew = Roster::from([(A, NodeId(0x1_0001)), (B, NEW_B)]);
        assert!(disks.hold(B, founded_anew).is_ok(), "no disk is left that held the first");
    }

    #[test]
    fn a_disk_that_was_set_back_is_silent() {
        let mut disks = disks();
        assert!(disks.hold(A, roster(B)).is_ok());
        disks.insert(B, B, true);
        assert!(disks.hold(B, roster(B)).is_ok() && disks.speak(B).is_err());
    }
}
