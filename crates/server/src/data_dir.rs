//! A member's data directory.
//!
//! ```text
//! lock                         held while a process uses the directory
//! identity                     whose data it is, and how often it was started
//! checkpoint-<slot>            the state at a slot
//! *.tmp                        unfinished; removed at the next start
//! everything else              segments of the journal
//! ```
//! The files lie side by side, so that one sync of the directory covers them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use synod_journal::atomic::write_atomically;
use synod_journal::filesystem::filesystem;
use synod_journal::format::segment_number;
use synod_journal::{
    DataDirLock, DirectoryDisk, Disk, Files, Identity as JournalIdentity, Journal, Options, Recovered,
};
use synod_member::checkpoint_files::{self, Checkpoints};
use synod_paxos::config::ClusterId;
use synod_paxos::node::{Incarnation, NodeId};
use tracing::warn;

use crate::clock;
use crate::cluster::{Founding, member_id};
use crate::member::Storage;
use crate::start_error::{IDENTITY_FILE, StartError};

/// First line of the identity file: its format.
const FORMAT: &str = "synod-identity 1";

/// Whose data a directory holds. Everything but the incarnation was settled when the cluster was founded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) token: String,
    pub(crate) cluster: ClusterId,
    pub(crate) name: String,
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    /// All members by name, this one included.
    pub(crate) members: BTreeMap<String, NodeId>,
}

impl Identity {
    /// The identity of `name` in a cluster that is being founded.
    fn found(founding: &Founding, name: &str) -> Identity {
        let cluster = founding.cluster_id();
        let founders = founding.founders().iter();
        Identity {
            token: founding.token().to_owned(),
            cluster,
            name: name.to_owned(),
            id: member_id(cluster, name),
            incarnation: Incarnation(0),
            members: founders.map(|f| (f.name.clone(), member_id(cluster, &f.name))).collect(),
        }
    }

    fn encode(&self) -> String {
        let Identity { token, cluster, name, id, incarnation, members } = self;
        let mut text = format!(
            "{FORMAT}\ntoken {token}\ncluster {:016x}\nname {name}\nmember {:016x}\nstart {}\n",
            cluster.0, id.0, incarnation.0
        );
        for (name, id) in members {
            writeln!(text, "of {name} {:016x}", id.0).expect("writing to a string cannot fail");
        }
        let checksum = crc32c::crc32c(text.as_bytes());
        text + &format!("checksum {checksum:08x}\n")
    }

    /// # Errors
    /// What is wrong with the text.
    fn decode(text: &str) -> Result<Identity, String> {
        if !text.starts_with(FORMAT) {
            return Err(format!("it does not begin with \"{FORMAT}\""));
        }
        let end = text.find("\nchecksum ").ok_or("its checksum is missing")? + 1;
        let (content, checksum) = text.split_at(end);
        if checksum != format!("checksum {:08x}\n", crc32c::crc32c(content.as_bytes())) {
            return Err("its checksum does not match: it was damaged or edited".to_owned());
        }
        let mut lines = content.lines().skip(1);
        let mut field = |key: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(key)?.strip_prefix(' '));
            line.map(str::to_owned).ok_or(format!("the line \"{key}\" is missing"))
        };
        let (token, cluster, name) = (field("token")?, field("cluster")?, field("name")?);
        let (id, start) = (field("member")?, field("start")?);
        let hex = |text: &str| u64::from_str_radix(text, 16).map_err(|_| format!("\"{text}\" is no number"));
        let members = lines.map(|line| {
            let member = line.strip_prefix("of ").and_then(|rest| rest.split_once(' '));
            let (name, id) = member.ok_or(format!("\"{line}\" is no member"))?;
            Ok((name.to_owned(), NodeId(hex(id)?)))
        });
        let identity = Identity {
            token,
            cluster: ClusterId(hex(&cluster)?),
            id: NodeId(hex(&id)?),
            incarnation: Incarnation(start.parse().map_err(|_| format!("\"{start}\" is no number"))?),
            members: members.collect::<Result<_, String>>()?,
            name,
        };
        if identity.members.get(&identity.name) != Some(&identity.id) {
            return Err("it does not list its own member".to_owned());
        }
        Ok(identity)
    }
}

/// An open data directory, locked, with its incarnation counted.
#[derive(Debug)]
pub(crate) struct DataDir {
    files: Files,
    identity: Identity,
    checkpoints: Checkpoints,
    /// None for one in memory, which nobody else can reach.
    _lock: Option<DataDirLock>,
}

impl DataDir {
    /// Opens the directory of `name`, or makes it. When this returns, the new incarnation is durable.
    ///
    /// # Errors
    /// If it is in use, belongs to another member or cluster, or its disk does not work.
    pub(crate) fn open(storage: &Storage, founding: &Founding, name: &str) -> Result<DataDir, StartError> {
        let (files, lock) = match storage {
            Storage::Memory(disk) => (Files::Memory(disk.clone()), None),
            Storage::Directory(path) => {
                let files = Files::Directory(path.clone());
                files.disk().map_err(disk_error(path.clone()))?;
                let lock = DataDirLock::acquire(path)?;
                warn_if_in_memory(path);
                (files, Some(lock))
            }
        };
        let path = files.path();
        let mut disk = files.disk().map_err(disk_error(path.clone()))?;
        let mut identity = read_identity(&mut *disk, &path, founding, name)?;
        check_identity(&identity, &path, founding, name)?;
        if identity.incarnation.0 == 0 {
            // The journal exists before a first start is counted, so one that is missing later was lost.
            write_atomically(&mut *disk, IDENTITY_FILE, identity.encode().as_bytes())
                .map_err(disk_error(path.clone()))?;
            drop(open_journal(&files, &identity)?);
        } else if !holds_journal(&mut *disk).map_err(disk_error(path.clone()))? {
            return Err(StartError::NoJournal(path));
        }
        identity.incarnation.0 += 1;
        write_atomically(&mut *disk, IDENTITY_FILE, identity.encode().as_bytes())
            .map_err(disk_error(path.clone()))?;
        let checkpoints =
            Checkpoints::open(files.clone(), identity.cluster, checkpoint_files::PART_BYTES, clock::now())
                .map_err(disk_error(path))?;
        Ok(DataDir { files, identity, checkpoints, _lock: lock })
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Opens the journal.
    ///
    /// # Errors
    /// If it is damaged or somebody else's, or the disk does not work.
    pub(crate) fn open_journal(&self) -> Result<(Journal, Recovered), StartError> {
        open_journal(&self.files, &self.identity)
    }

    /// What was recovered makes no member.
    pub(crate) fn unusable(&self, reason: &dyn std::fmt::Display) -> StartError {
        StartError::Unusable { path: self.files.path(), reason: reason.to_string() }
    }
}

fn open_journal(files: &Files, identity: &Identity) -> Result<(Journal, Recovered), StartError> {
    let identity = JournalIdentity { cluster: identity.cluster.0, node: identity.id.0 };
    let path = files.path();
    let opened = match files {
        Files::Memory(disk) => Journal::open(disk.clone(), identity, Options::default()),
        Files::Directory(path) => {
            let disk = DirectoryDisk::new(path).map_err(disk_error(path.clone()))?;
            Journal::open(disk, identity, Options::default())
        }
    };
    opened.map_err(|source| StartError::Journal { path, source })
}

/// Quorums survive the crash of a minority only if what each of its members acknowledged does.
fn warn_if_in_memory(path: &Path) {
    // A failure is no trouble by itself: this is a courtesy.
    if let Ok(filesystem) = filesystem(path)
        && filesystem.in_memory
    {
        warn!(
            "the data directory {} lies on {}, which is memory: whatever this member acknowledges is lost with the \
             machine's power; choose a directory on a disk",
            path.display(),
            filesystem.name
        );
    }
}

fn holds_journal(disk: &mut dyn Disk) -> io::Result<bool> {
    Ok(disk.list()?.iter().any(|name| segment_number(name).is_some()))
}

fn disk_error(path: PathBuf) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Disk { path, source }
}

/// What the directory says of itself; a new identity if it is empty.
fn read_identity(
    disk: &mut dyn Disk,
    path: &Path,
    founding: &Founding,
    name: &str,
) -> Result<Identity, StartError> {
    let names = disk.list().map_err(disk_error(path.to_owned()))?;
    if names.iter().any(|name| name == IDENTITY_FILE) {
        let bytes = disk.read(IDENTITY_FILE).map_err(disk_error(path.to_owned()))?;
        let text = String::from_utf8(bytes).map_err(|_| "it is no text".to_owned());
        return text
            .and_then(|text| Identity::decode(&text))
            .map_err(|reason| StartError::Identity { path: path.join(IDENTITY_FILE), reason });
    }
    // The identity is the first file that a member writes.
    if names.iter().any(|name| segment_number(name).is_some() || name.starts_with(checkpoint_files::PREFIX)) {
        return Err(StartError::NoIdentity(path.to_owned()));
    }
    Ok(Identity::found(founding, name))
}

/// Whether the directory is the one that the configuration means.
fn check_identity(
    identity: &Identity,
    path: &Path,
    founding: &Founding,
    name: &str,
) -> Result<(), StartError> {
    let path = path.to_owned();
    if identity.token != founding.token() {
        let (found, wanted) = (identity.token.clone(), founding.token().to_owned());
        return Err(StartError::OtherCluster { path, found, wanted });
    }
    let members: Vec<String> = identity.members.keys().cloned().collect();
    let wanted: Vec<String> = founding.founders().iter().map(|founder| founder.name.clone()).collect();
    if members != wanted {
        return Err(StartError::OtherMembers { path, members, wanted });
    }
    if identity.name != name {
        return Err(StartError::OtherMember { path, found: identity.name.clone(), wanted: name.to_owned() });
    }
    Ok(())
}
