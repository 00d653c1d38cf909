//! How a member starts from its disk: the same steps in the same order as the server's data directory takes.

use std::collections::{BTreeMap, VecDeque};

use synod_journal::atomic::write_atomically;
use synod_journal::format::segment_number;
use synod_journal::{Disk, Files, Identity, Journal, MemoryDisk, OpenError, Options, Recovered};
use synod_member::applier::Applier;
use synod_member::checkpoint_files::{Checkpoints, LoadError, PREFIX};
use synod_member::voter::{RecoveredVoter, Voter, VoterConfig};
use synod_paxos::config::ClusterId;
use synod_paxos::node::{Incarnation, NodeId};

use super::{Member, Setup, facts};
use crate::program::{Boot, BootError, Effect, Fact};

const CLUSTER: ClusterId = ClusterId(0x51d);
const IDENTITY_FILE: &str = "identity";

pub(super) fn boot(setup: &Setup, boot: Boot) -> Result<Member, BootError> {
    let incarnation = count_start(&boot.disk, boot.id)?;
    let files = Files::Memory(boot.disk.clone());
    let checkpoints = Checkpoints::open(files, CLUSTER, setup.part_bytes, boot.now).map_err(disk)?;
    let loaded = checkpoints.load_newest().map_err(|error| match error {
        LoadError::Disk { .. } => BootError::Disk(error.to_string()),
        LoadError::Damaged { .. } => BootError::Refused(error.to_string()),
    })?;
    let (journal, recovered) = open_journal(&boot.disk, boot.id, setup.segment_bytes)?;
    let unreadable = |error: &dyn std::fmt::Display| BootError::Refused(error.to_string());
    let memory = facts::of_memory(recovered.state.as_ref(), &recovered.records, loaded.slot())
        .map_err(|error| unreadable(&error))?;
    let config = VoterConfig {
        cluster: CLUSTER,
        id: boot.id,
        incarnation,
        members: boot.nodes,
        heartbeat_interval: setup.election_timeout / 5,
        election_timeout: setup.election_timeout,
        request_timeout: setup.request_timeout,
        slots_retained: setup.slots_retained,
        seed: boot.seed,
    };
    let recovered =
        RecoveredVoter { state: recovered.state, records: recovered.records, checkpoint: loaded.slot() };
    let voter = Voter::new(config, recovered, boot.now).map_err(|error| unreadable(&error))?;
    let mut applier = Applier::new(CLUSTER, boot.id, incarnation, loaded);
    applier.set_checkpoint_every(setup.checkpoint_bytes);
    let command = facts::command(boot.id, incarnation, 0, None);
    let facts = [Fact::Remembers(memory), Fact::Proposable { command }];
    Ok(Member {
        id: boot.id,
        incarnation,
        voter,
        applier,
        journal,
        checkpoints,
        tasks: BTreeMap::new(),
        done: BTreeMap::new(),
        next_work: 0,
        open_journal: None,
        writes: BTreeMap::new(),
        reads: BTreeMap::new(),
        ready: Vec::new(),
        leads: None,
        out: VecDeque::from(facts.map(Effect::Fact)),
    })
}

fn disk(error: std::io::Error) -> BootError {
    BootError::Disk(error.to_string())
}

/// Makes one more start durable, before anything of it is seen.
fn count_start(files: &MemoryDisk, id: NodeId) -> Result<Incarnation, BootError> {
    let mut disk = files.clone();
    let names = disk.list().map_err(self::disk)?;
    let holds_journal = names.iter().any(|name| segment_number(name).is_some());
    let starts = if names.iter().any(|name| name == IDENTITY_FILE) {
        let text = disk.read(IDENTITY_FILE).map_err(self::disk)?;
        let starts = String::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
        starts.ok_or_else(|| BootError::Refused("the identity cannot be read".to_owned()))?
    } else if holds_journal || names.iter().any(|name| name.starts_with(PREFIX)) {
        return Err(BootError::Refused("the identity is missing".to_owned()));
    } else {
        write_atomically(&mut disk, IDENTITY_FILE, b"0").map_err(self::disk)?;
        0
    };
    if starts == 0 {
        // The journal exists before a first start is counted, so one that is missing later was lost.
        drop(open_journal(files, id, u64::MAX)?);
    } else if !holds_journal {
        return Err(BootError::Refused("the journal is gone".to_owned()));
    }
    let starts = starts + 1;
    write_atomically(&mut disk, IDENTITY_FILE, starts.to_string().as_bytes()).map_err(self::disk)?;
    Ok(Incarnation::numbered(starts))
}

fn open_journal(
    disk: &MemoryDisk,
    id: NodeId,
    segment_bytes: u64,
) -> Result<(Journal, Recovered), BootError> {
    let identity = Identity { cluster: CLUSTER.0, node: id.0 };
    Journal::open(disk.clone(), identity, Options { segment_bytes }).map_err(|error| match error {
        OpenError::Io { .. } | OpenError::Write(_) => BootError::Disk(error.to_string()),
        _ => BootError::Refused(error.to_string()),
    })
}
