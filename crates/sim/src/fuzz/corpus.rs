//! Valid inputs, from which fuzzing begins. `cargo run -p synod-sim --example fuzz_corpus` writes them to `fuzz/corpus`,
//! and a test holds the files against what is made here.

use bytes::{BufMut, Bytes};
use synod_journal::{BATCH_MAGIC, MemoryDisk, Recovered};
use synod_member::identity::disk::DiskId;
use synod_member::identity::file::{Held, Identity};
use synod_member::introduction::hello::{Answered, Beginning, Hello, Holding, Refused, Speaker};
use synod_member::record;
use synod_member::submission::{Body, Submission};
use synod_member::wire::{self, Header, PeerMessage};
use synod_paxos::ballot::Ballot;
use synod_paxos::choose::Vote;
use synod_paxos::config::{ClusterId, ConfigId};
use synod_paxos::multi::entry::Entry;
use synod_paxos::multi::message::{Health, Message, Promise, ReadId, Report};
use synod_paxos::multi::record::{HardState, Record};
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use synod_store::Store;
use synod_store::request::{
    Command, Compact, Compare, CompareResult, CompareTarget, DeleteRange, KeyRange, Put, Range, Txn, TxnOp,
};

use super::seal::HEADER_BYTES;

/// An input and the name of its file.
pub type Seed = (String, Vec<u8>);

const BALLOT: Ballot = Ballot::new(2, NodeId(1));

/// The valid inputs of a target.
///
/// # Panics
/// If there is no such target.
pub fn seeds(target: &str) -> Vec<Seed> {
    match target {
        "identity" => identities(),
        "peer_frame" => messages().iter().map(|(name, message)| named(name, frame(message))).collect(),
        "journal" => journals(),
        "journal_record" => records(),
        "checkpoint" => vec![
            named("empty", checkpoint(&Store::new(), &[])),
            named("sessions", checkpoint(&store(), &[(1, &[]), (3, &[4, 6, 7])])),
        ],
        "snapshot" => vec![named("empty", snapshot(&Store::new())), named("history", snapshot(&store()))],
        "client_command" => commands().iter().map(|(name, command)| named(name, command.encode())).collect(),
        other => panic!("{other} is no target"),
    }
}

fn named(name: &str, bytes: impl Into<Vec<u8>>) -> Seed {
    (name.to_owned(), bytes.into())
}

fn identities() -> Vec<Seed> {
    let fresh = Identity::new(DiskId::new(super::IDENTITY.node.into()));
    let mut started = fresh.clone();
    started.count_start(9, None);
    started.count_start(8, None);
    let held = Held { token: "synod-cluster".to_owned(), roster: super::roster() };
    let founded = Identity { held: Some(held), ..started.clone() };
    let refused = Identity { refused: Some("b says: it is old".to_owned()), ..founded.clone() };
    let texts = [("fresh", fresh), ("started", started), ("founded", founded), ("refused", refused)];
    texts.iter().map(|(name, identity)| named(name, identity.encode())).collect()
}

fn hello() -> Hello {
    let incarnation = Incarnation { start: 4, nonce: 5 };
    let speaker = Speaker { cluster: ClusterId(7), node: NodeId(1), incarnation };
    Hello {
        name: "a".to_owned(),
        to: "b".to_owned(),
        question: 3,
        answer: Some(Answered { speaker, question: 2 }),
        starts: vec![Incarnation { start: 3, nonce: 6 }, incarnation],
        recovered: 12,
        beginning: Beginning::default(),
        holding: Holding::Held(super::roster()),
        admits: true,
        refused: Some(Refused { set_back: false, reason: "not yet".to_owned() }),
        client_urls: vec!["http://localhost:2379".to_owned()],
    }
}

fn frame(message: &PeerMessage) -> Bytes {
    let header = Header {
        cluster: ClusterId(7),
        config: ConfigId(1),
        from: NodeId(1),
        incarnation: Incarnation { start: 4, nonce: 5 },
        written: 17,
    };
    wire::encode(header, message)
}

fn submissions() -> Vec<Submission> {
    let submission = |sequence, body| Submission {
        origin: NodeId(3),
        incarnation: Incarnation::numbered(4),
        sequence,
        floor: 2,
        body,
    };
    let put = Command::Put(Put::new("key", "value")).encode();
    vec![submission(1, Body::Register), submission(5, Body::Store(put))]
}

fn entry() -> Entry<Submission> {
    Entry::Commands(submissions().into())
}

fn messages() -> Vec<(&'static str, PeerMessage)> {
    let protocol = protocol_messages().into_iter().chain(queries());
    let mut named: Vec<(&str, PeerMessage)> =
        protocol.map(|(name, message)| (name, PeerMessage::Protocol(message))).collect();
    named.push(("hello", PeerMessage::Hello(Box::new(hello()))));
    named.push(("forward", PeerMessage::Forward(submissions())));
    named.push(("relay", PeerMessage::Relay(submissions())));
    named.push(("want_checkpoint", PeerMessage::WantCheckpoint { slot: Some(Slot(9)), offset: 100 }));
    let bytes = Bytes::from_static(b"part of a checkpoint");
    let part = PeerMessage::CheckpointPart { slot: Slot(9), offset: 100, length: 120, bytes };
    named.push(("checkpoint_part", part));
    named
}

fn protocol_messages() -> Vec<(&'static str, Message<Submission>)> {
    let reports = vec![
        (Slot(5), Report::Vote(Vote { ballot: BALLOT, value: Entry::Noop })),
        (Slot(6), Report::Chosen(entry())),
    ];
    let promise = Promise { ballot: BALLOT, from: Slot(2), chosen: Slot(4), reports };
    let entries = vec![entry(), Entry::Noop];
    vec![
        ("prepare", Message::Prepare { ballot: BALLOT, from: Slot(1) }),
        ("promise", Message::Promise(promise)),
        ("nack", Message::Nack { ballot: BALLOT, promised: BALLOT }),
        ("accept", Message::Accept { ballot: BALLOT, slot: Slot(3), entry: entry(), commit: Slot(2) }),
        ("accepted", Message::Accepted { ballot: BALLOT, slots: vec![Slot(3), Slot(4)] }),
        ("commit", Message::Commit { ballot: BALLOT, through: Slot(9) }),
        ("fetch", Message::Fetch { from: Slot(8) }),
        ("fetched", Message::Fetched { from: Slot(8), entries, chosen: Slot(9), truncated: Slot(1) }),
    ]
}

fn queries() -> Vec<(&'static str, Message<Submission>)> {
    let read = ReadId { node: NodeId(1), incarnation: Incarnation::numbered(2), number: 3 };
    let health = Health {
        promised: Some(BALLOT),
        leader: None,
        happy: true,
        holds: Slot(4),
        knows: Slot(6),
        truncated: Slot(2),
        stalled: false,
        electable: true,
    };
    vec![
        ("heartbeat", Message::Heartbeat { round: 7, commit: Some((BALLOT, Slot(9))) }),
        ("heartbeat_reply", Message::HeartbeatReply { round: 7, health }),
        ("pre_check", Message::PreCheck { ballot: BALLOT }),
        (
            "pre_check_reply",
            Message::PreCheckReply { ballot: BALLOT, granted: false, promised: Some(BALLOT) },
        ),
        ("confirm", Message::Confirm { ballot: BALLOT, round: 1 }),
        ("confirmed", Message::Confirmed { ballot: BALLOT, round: 1 }),
        ("read_index", Message::ReadIndex { read }),
        ("read_index_reply", Message::ReadIndexReply { read, slot: Some(Slot(4)) }),
    ]
}

fn records() -> Vec<Seed> {
    let state = HardState { config: ConfigId(1), promised: BALLOT, used: BALLOT, highest_voted: Slot(5) };
    vec![
        named("vote", record::encode(&Record::Vote { slot: Slot(7), ballot: BALLOT, entry: entry() })),
        named("chosen", record::encode(&Record::Chosen { slot: Slot(9), entry: Entry::Noop })),
        named("commit", record::encode(&Record::Commit { through: Slot(6) })),
        named("state", record::encode_state(&state, 9)),
    ]
}

/// One without a batch, one with a few in one segment, and one of several segments.
fn journals() -> Vec<Seed> {
    vec![
        named("empty", written_journal(0)),
        named("batches", written_journal(3)),
        named("segments", written_journal(9)),
        named("synced_half_a_batch", synced_half_a_batch()),
    ]
}

/// Its last batch says that it was written when half of the first one had been synced. Believing that, the first start
/// cut the first batch in two, and the second refused the rest.
fn synced_half_a_batch() -> Vec<u8> {
    let mut bytes = written_journal(3);
    let last = bytes.windows(4).rposition(|window| window == BATCH_MAGIC).expect("it has batches");
    bytes[last + 20..last + 28].copy_from_slice(&(HEADER_BYTES as u64 + 10).to_le_bytes());
    bytes
}

fn written_journal(batches: u64) -> Vec<u8> {
    let disk = MemoryDisk::new();
    let (mut journal, recovered) = super::open(&disk).expect("an empty disk");
    assert_eq!(recovered, Recovered::default(), "an empty disk");
    for number in 1..=batches {
        let records = [Bytes::from(format!("record {number}")), Bytes::new()];
        journal.append(b"state", number, &records);
        journal.sync().expect("a disk without faults");
    }
    disk.names().iter().filter_map(|name| disk.contents(name)).flatten().collect()
}

/// A small store with history, a deleted key and a compaction.
///
/// # Panics
/// Never: nothing that is applied here is refused.
pub fn store() -> Store {
    let mut store = Store::new();
    let deleted = DeleteRange { keys: KeyRange::One("b".into()), prev_kv: false };
    let commands = [
        Command::Put(Put::new("a", "1")),
        Command::Put(Put::new("b", "2")),
        Command::Put(Put::new("a", "3")),
        Command::Compact(Compact { revision: 3 }),
        Command::DeleteRange(deleted),
        Command::Put(Put::new("key", "value")),
    ];
    for command in &commands {
        let applied = store.apply(command);
        assert!(applied.result.is_ok(), "{command:?} was refused: {applied:?}");
    }
    store
}

fn snapshot(store: &Store) -> Vec<u8> {
    super::written(store)
}

/// A checkpoint of a member in which others, each with the sequences that were applied, have sessions.
fn checkpoint(store: &Store, sessions: &[(u64, &[u64])]) -> Vec<u8> {
    let mut head = Vec::new();
    head.put_u64_le(super::IDENTITY.cluster);
    let roster = super::roster();
    put_length(&mut head, roster.members().len());
    for (name, node) in roster.members() {
        put_length(&mut head, name.len());
        head.put_slice(name.as_bytes());
        head.put_u64_le(node.0);
    }
    head.put_u64_le(12);
    put_length(&mut head, sessions.len());
    for (member, applied) in sessions {
        for number in [*member, 4, 0, 2] {
            head.put_u64_le(number);
        }
        put_length(&mut head, applied.len());
        applied.iter().for_each(|sequence| head.put_u64_le(*sequence));
    }
    let mut out = b"SYNODCKP\x02".to_vec();
    put_length(&mut out, head.len());
    out.put_u32_le(crc32c::crc32c(&head));
    out.extend(head);
    out.extend(snapshot(store));
    let loaded = super::load_checkpoint(&[&out]).expect("a checkpoint");
    assert_eq!(loaded, out, "members write it otherwise");
    out
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.put_u32_le(u32::try_from(length).expect("a few"));
}

fn commands() -> Vec<(&'static str, Command)> {
    let span = KeyRange::Span("a".into(), "c".into());
    let compare = |target| Compare { keys: span.clone(), result: CompareResult::Greater, target };
    let delete = DeleteRange { keys: span.clone(), prev_kv: true };
    let inner = Txn {
        success: vec![TxnOp::Range(Range::new(KeyRange::From("a".into())))],
        failure: vec![TxnOp::DeleteRange(delete.clone())],
        ..Txn::default()
    };
    let txn = Txn {
        compare: vec![compare(CompareTarget::Version(0)), compare(CompareTarget::Value("1".into()))],
        success: vec![TxnOp::Put(Put::new("z", "4")), TxnOp::Txn(inner)],
        failure: vec![TxnOp::Range(Range { revision: 4, limit: 1, ..Range::new(KeyRange::One("a".into())) })],
    };
    let put = Put { prev_kv: true, ignore_lease: true, ..Put::new("a", "5") };
    vec![
        ("put", Command::Put(put)),
        ("delete_range", Command::DeleteRange(delete)),
        ("txn", Command::Txn(txn)),
        ("compact", Command::Compact(Compact { revision: 4 })),
    ]
}
