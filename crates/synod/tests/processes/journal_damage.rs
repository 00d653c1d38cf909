//! A journal with a wrong byte in its middle, and one whose last write was torn.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cluster::{Cluster, Member};

const SEGMENT_HEADER_BYTES: usize = 76;
/// Magic, checksum and length stand before what the length counts.
const BATCH_PREFIX_BYTES: usize = 12;

/// Where the batches of a segment begin and end.
fn batches(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut batches, mut offset) = (Vec::new(), SEGMENT_HEADER_BYTES);
    while offset < bytes.len() {
        assert_eq!(&bytes[offset..offset + 4], b"BTCH", "at {offset}");
        let length = u32::from_le_bytes(bytes[offset + 8..offset + 12].try_into().unwrap()) as usize;
        let end = offset + BATCH_PREFIX_BYTES + length;
        batches.push((offset, end));
        offset = end;
    }
    batches
}

/// The journal's largest file: most was written there.
fn largest(member: &Member) -> PathBuf {
    member.journal().into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

/// A cluster in which one member, which does not lead, was killed after some writes.
async fn with_a_dead_member() -> (Cluster, usize) {
    let mut cluster = Cluster::start(3).await;
    put(&cluster, 0, 0..20).await;
    let victim = cluster.follower().await;
    cluster.members[victim].kill();
    (cluster, victim)
}

/// Puts one after the other, each with its own sync.
async fn put(cluster: &Cluster, member: usize, numbers: std::ops::Range<u32>) {
    let mut client = cluster.members[member].client().await;
    for number in numbers {
        client.put(format!("key{number}"), format!("value{number}"), None).await.unwrap();
    }
}

async fn holds(cluster: &Cluster, member: usize, count: u32) {
    let mut client = cluster.members[member].client().await;
    for number in 0..count {
        let answer = client.get(format!("key{number}"), None).await.unwrap();
        let value = answer.kvs().first().map(|kv| kv.value_str().unwrap().to_owned());
        assert_eq!(value, Some(format!("value{number}")));
    }
}

fn journal(member: &Member) -> Vec<(PathBuf, Vec<u8>)> {
    member.journal().into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wrong_byte_in_the_middle_of_a_journal_is_named_and_the_member_does_not_vote() {
    let (mut cluster, victim) = with_a_dead_member().await;
    let file = largest(&cluster.members[victim]);
    let sound = fs::read(&file).unwrap();
    let all = batches(&sound);
    assert!(all.len() >= 10, "the writes had syncs of their own: {all:?}");
    let (index, (start, end)) = (all.len() / 2, all[all.len() / 2]);
    let mut damaged = sound.clone();
    damaged[(start + end) / 2] ^= 0x01;
    fs::write(&file, &damaged).unwrap();
    let before = journal(&cluster.members[victim]);

    cluster.members[victim].start();
    let (status, printed) = cluster.members[victim].process.take().unwrap().ended().await;
    assert_eq!(status.code(), Some(1), "{printed}");
    for part in [
        format!("{} is damaged at offset {start}", name(&file)),
        format!("record batch {} of the file", index + 1),
        "must not vote".to_owned(),
        "Restore the file".to_owned(),
    ] {
        assert!(printed.contains(&part), "it does not say \"{part}\":\n{printed}");
    }
    assert_eq!(journal(&cluster.members[victim]), before, "the journal was left as it was");

    // The others have lost nothing, and neither has the member once its disk is restored.
    let leader = cluster.leader().await;
    put(&cluster, leader, 20..25).await;
    fs::write(&file, &sound).unwrap();
    cluster.members[victim].start();
    cluster.ready().await;
    holds(&cluster, victim, 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_a_crash_tore_is_cut_and_the_member_goes_on() {
    let (mut cluster, victim) = with_a_dead_member().await;
    let newest = cluster.members[victim].journal().pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let whole = bytes.len();
    // A batch of which only the first half reached the disk.
    let (start, end) = *batches(&bytes).last().unwrap();
    bytes.extend_from_within(start..(start + end) / 2);
    fs::write(&newest, &bytes).unwrap();

    cluster.members[victim].start();
    cluster.ready().await;
    let printed = cluster.members[victim].process.as_ref().unwrap().printed();
    let told = format!("file=\"{}\" offset={whole}", name(&newest));
    assert!(
        printed.contains("the end of the journal was torn") && printed.contains(&told),
        "{told}:\n{printed}"
    );
    put(&cluster, victim, 20..25).await;
    holds(&cluster, victim, 25).await;

    // What it holds now is a sound journal again.
    cluster.members[victim].kill();
    cluster.members[victim].start();
    cluster.ready().await;
    holds(&cluster, victim, 25).await;
}
