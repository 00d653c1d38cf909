//! How a member starts from its disk: the steps that ship.

use std::collections::{BTreeMap, VecDeque};

use synod_journal::{Files, MemoryDisk, OpenError, Options};
use synod_member::applier::Applier;
use synod_member::checkpoint_files::LoadError;
use synod_member::identity::directory::{self, DirectoryError, Drawn, Opened};
use synod_member::identity::disk::DiskId;
use synod_member::identity::roster::Roster;
use synod_member::introduction::Me;
use synod_member::introduction::hello::Beginning;
use synod_member::record;
use synod_member::voter::{RecoveredVoter, Voter, VoterConfig};
use synod_paxos::config::ClusterId;
use synod_paxos::node::NodeId;
use synod_paxos::time::Time;

use super::{Member, Setup, facts};
use crate::program::{Boot, BootError, Effect, Fact};

const CLUSTER: ClusterId = ClusterId(0x51d);
/// What told apart clusters of the same members would be here.
pub(super) const TOKEN: &str = "simulated";

/// What the member at `address` is called.
pub(super) fn name(address: NodeId) -> String {
    address.to_string()
}

pub(super) fn boot(setup: &Setup, boot: Boot) -> Result<Member, BootError> {
    let addresses: BTreeMap<String, NodeId> = boot.nodes.iter().map(|node| (name(*node), *node)).collect();
    let drawn = Drawn { disk: DiskId::new(boot.disk_id), nonce: boot.nonce };
    let opened = open(&boot.disk, setup, drawn, boot.now).map_err(refused)?;
    let Opened { identity, incarnation, journal, recovered, checkpoints, loaded } = opened;
    let unreadable = |error: &dyn std::fmt::Display| BootError::Refused(error.to_string());
    let memory = facts::of_memory(recovered.state.as_ref(), &recovered.records, loaded.slot())
        .map_err(|error| unreadable(&error))?;
    let roster = identity.held.as_ref().map(|held| held.roster.clone());
    let id = identity.disk.node();
    let me = Me {
        cluster: CLUSTER,
        name: name(boot.id),
        node: id,
        starts: identity.starts.clone(),
        recovered: 0,
        beginning: Beginning::default(),
        founds: true,
        client_urls: Vec::new(),
    };
    let config = VoterConfig {
        me,
        names: addresses.keys().cloned().collect(),
        roster: roster.clone(),
        heartbeat_interval: setup.election_timeout / 5,
        election_timeout: setup.election_timeout,
        request_timeout: setup.request_timeout,
        slots_retained: setup.slots_retained,
        seed: boot.seed,
    };
    let recovered = RecoveredVoter {
        state: recovered.state,
        records: recovered.records,
        checkpoint: loaded.slot(),
        registered: loaded.registered().collect(),
    };
    let voter = Voter::new(config, recovered, boot.now).map_err(|error| unreadable(&error))?;
    let mut applier = Applier::new(roster.clone(), id, incarnation, loaded);
    applier.set_checkpoint_every(setup.checkpoint_bytes);
    let command = facts::command(id, incarnation, 0, None);
    let held = roster.map(|roster| disks(&roster, &addresses));
    let facts = [Some(Fact::Remembers(memory)), Some(Fact::Proposable { command }), held];
    Ok(Member {
        id,
        incarnation,
        addresses,
        files: Files::Memory(boot.disk),
        setup: setup.clone(),
        identity,
        voter,
        applier,
        journal,
        checkpoints,
        tasks: BTreeMap::new(),
        done: BTreeMap::new(),
        next_work: 0,
        open_journal: None,
        writes: BTreeMap::new(),
        request_timeout: setup.request_timeout,
        reads: BTreeMap::new(),
        ready: Vec::new(),
        leads: None,
        out: facts.into_iter().flatten().map(Effect::Fact).collect::<VecDeque<_>>(),
    })
}

/// Whose disk belongs at which address.
pub(super) fn disks(roster: &Roster, addresses: &BTreeMap<String, NodeId>) -> Fact {
    let disks = roster.members().iter().filter_map(|(name, node)| Some((*addresses.get(name)?, *node)));
    Fact::Roster { disks: disks.collect() }
}

fn open(disk: &MemoryDisk, setup: &Setup, drawn: Drawn, now: Time) -> Result<Opened, DirectoryError> {
    let options = Options { segment_bytes: setup.segment_bytes, ..Options::default() };
    directory::open(&Files::Memory(disk.clone()), options, setup.part_bytes, drawn, now)
}

/// A disk that fails is tried again; what is damaged is not.
fn refused(error: DirectoryError) -> BootError {
    match &error {
        DirectoryError::Disk(_)
        | DirectoryError::Checkpoint(LoadError::Disk { .. })
        | DirectoryError::Journal(OpenError::Io { .. } | OpenError::Write(_)) => {
            BootError::Disk(error.to_string())
        }
        _ => BootError::Refused(error.to_string()),
    }
}

impl Member {
    /// Whether this process would refuse a member that came back with `disk`.
    pub(super) fn knows_better(&self, disk: &MemoryDisk) -> bool {
        // Which disk and nonce are drawn does not matter: the disk has an identity, and the start is not a real one.
        let drawn = Drawn { disk: DiskId::new(1), nonce: 0 };
        let Ok(opened) = open(disk, &self.setup, drawn, Time::ZERO) else { return false };
        let state = opened.recovered.state.map(record::decode_state);
        let recovered = state.and_then(Result::ok).map_or(0, |(_, written)| written);
        let node = opened.identity.disk.node();
        self.voter.introductions().is_set_back(node, &opened.identity.starts, recovered)
    }
}
