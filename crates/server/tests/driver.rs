//! Whole members in one process: real threads, real sockets, disks in memory or in a directory.

#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use synod_paxos::slot::Slot;
use synod_server::cluster::{Founder, Founding, Url};
use synod_server::handle::{MemberHandle, ReadError, WriteError};
use synod_server::member::{
    MemberConfig, MemoryDisk, RunningMember, StartError, StopReason, Storage, listen,
};
use synod_store::request::{Command, KeyRange, Put, Range};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

struct Cluster {
    founding: Founding,
    storages: Vec<Storage>,
    members: Vec<Option<RunningMember>>,
}

impl Cluster {
    /// Starts members `m0`, `m1`, … on these storages.
    fn start(storages: Vec<Storage>) -> Cluster {
        let listeners: Vec<Vec<TcpListener>> = storages.iter().map(|_| loopback()).collect();
        let founders = listeners.iter().enumerate().map(|(index, listeners)| Founder {
            name: format!("m{index}"),
            peer_urls: vec![Url::new("127.0.0.1", listeners[0].local_addr().unwrap().port())],
        });
        let founding = Founding::new("driver-tests", founders.collect()).unwrap();
        let mut cluster = Cluster { founding, storages, members: Vec::new() };
        for (index, listeners) in listeners.into_iter().enumerate() {
            let member = RunningMember::start(cluster.config(index), listeners).unwrap();
            cluster.members.push(Some(member));
        }
        cluster
    }

    fn in_memory(count: usize) -> Cluster {
        Cluster::start((0..count).map(|_| Storage::Memory(MemoryDisk::new())).collect())
    }

    fn config(&self, index: usize) -> MemberConfig {
        MemberConfig {
            client_urls: vec![format!("http://clients-of-m{index}:1")],
            heartbeat_interval: Duration::from_millis(20),
            election_timeout: Duration::from_millis(150),
            checkpoint_bytes: 64 * 1024,
            ..MemberConfig::new(format!("m{index}"), self.founding.clone(), self.storages[index].clone())
        }
    }

    fn handle(&self, index: usize) -> MemberHandle {
        self.members[index].as_ref().unwrap().handle()
    }

    fn stop(&mut self, index: usize) {
        self.members[index].take().unwrap().stop();
    }

    fn restart(&mut self, index: usize) {
        let listeners = listen("peer", &self.founding.founders()[index].peer_urls).unwrap();
        self.members[index] = Some(RunningMember::start(self.config(index), listeners).unwrap());
    }

    fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|index| self.members[*index].is_some()).collect()
    }

    /// The index of the member that leads, as all running members see it.
    async fn leader(&self) -> usize {
        eventually("a leader that everybody knows", || async {
            let running = self.running();
            let leaders: Vec<_> =
                running.iter().map(|index| self.handle(*index).status().leader.map(|l| l.node)).collect();
            let first = leaders[0]?;
            let agreed = leaders.iter().all(|leader| *leader == Some(first));
            running.into_iter().find(|index| self.handle(*index).status().id == first).filter(|_| agreed)
        })
        .await
    }
}

fn loopback() -> Vec<TcpListener> {
    listen("peer", &[Url::new("127.0.0.1", 0)]).unwrap()
}

/// Asks again and again until there is an answer.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn put(key: &str, value: &str) -> Command {
    Command::Put(Put::new(key.to_owned(), value.to_owned()))
}

/// Puts until it is done for certain.
async fn write(member: &MemberHandle, key: &str, value: &str) {
    eventually("a write", || async { member.write(put(key, value)).await.ok() }).await;
}

/// The newest value, from a confirmed read.
async fn read(member: &MemberHandle, key: &str) -> Option<String> {
    let read = eventually("a read", || async { member.read().await.ok() }).await;
    let range = Range::new(KeyRange::One(key.to_owned().into()));
    let found = read.view.range(&range).unwrap().kvs;
    found.first().map(|kv| String::from_utf8(kv.value.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_member_acknowledges_every_member_reads() {
    let cluster = Cluster::in_memory(3);
    for writer in 0..3 {
        let key = format!("key-{writer}");
        write(&cluster.handle(writer), &key, "value").await;
        for reader in 0..3 {
            assert_eq!(read(&cluster.handle(reader), &key).await.as_deref(), Some("value"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_agree_on_the_log_and_show_it_in_words() {
    let cluster = Cluster::in_memory(3);
    write(&cluster.handle(1), "k1", "v1").await;
    let handles: Vec<_> = (0..3).map(|index| cluster.handle(index)).collect();
    for member in &handles {
        let shown = eventually("the put in the log", || async {
            let slots = member.slots(Slot(1), 1000).await.unwrap();
            slots.into_iter().find(|slot| slot.operations == ["Put k1 v1"] && slot.applied)
        });
        assert!(shown.await.chosen);
    }
    let status = handles[0].status();
    assert!(status.errors.is_empty() && status.disk_bytes > 0 && status.applied <= status.chosen);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_tell_each_other_where_clients_reach_them() {
    let cluster = Cluster::in_memory(3);
    for index in 0..3 {
        let member = cluster.handle(index);
        eventually("all client addresses", || async {
            let mut urls: Vec<_> = member.members().into_iter().flat_map(|info| info.client_urls).collect();
            urls.sort();
            let expected = ["http://clients-of-m0:1", "http://clients-of-m1:1", "http://clients-of-m2:1"];
            (urls == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_stops_the_others_go_on_with_everything_acknowledged() {
    let mut cluster = Cluster::in_memory(3);
    write(&cluster.handle(0), "before", "1").await;
    let leader = cluster.leader().await;
    cluster.stop(leader);
    for index in cluster.running() {
        assert_eq!(read(&cluster.handle(index), "before").await.as_deref(), Some("1"));
        write(&cluster.handle(index), &format!("after-{index}"), "2").await;
    }
    cluster.restart(leader);
    for index in cluster.running() {
        let other = (leader + 1) % 3;
        assert_eq!(read(&cluster.handle(index), &format!("after-{other}")).await.as_deref(), Some("2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_a_write_is_not_acknowledged_and_a_read_not_confirmed() {
    let mut cluster = Cluster::in_memory(3);
    write(&cluster.handle(0), "key", "old").await;
    cluster.stop(1);
    cluster.stop(2);
    let alone = cluster.handle(0);
    let (written, confirmed) = tokio::join!(alone.write(put("key", "new")), alone.read());
    assert_eq!(written.unwrap_err(), WriteError::TimedOut);
    assert!(matches!(confirmed.unwrap_err(), ReadError::TimedOut | ReadError::NoLeader));
    // What it knows it still tells.
    assert_eq!(alone.local().view.revision(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_acknowledged_survives_a_restart_of_all_members() {
    let root = tempfile::tempdir().unwrap();
    let directories = (0..3).map(|index| Storage::Directory(root.path().join(format!("m{index}"))));
    let mut cluster = Cluster::start(directories.collect());
    for number in 0..50 {
        write(&cluster.handle(number % 3), &format!("key-{number}"), "value").await;
    }
    for index in 0..3 {
        cluster.stop(index);
    }
    for index in 0..3 {
        cluster.restart(index);
    }
    for number in 0..50 {
        assert_eq!(read(&cluster.handle(0), &format!("key-{number}")).await.as_deref(), Some("value"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_written_under_load_and_carry_a_restart() {
    let disks: Vec<MemoryDisk> = (0..3).map(|_| MemoryDisk::new()).collect();
    let mut cluster = Cluster::start(disks.iter().cloned().map(Storage::Memory).collect());
    let value = "x".repeat(8 * 1024);
    let has_checkpoint = |disk: &MemoryDisk| disk.names().iter().any(|name| name.starts_with("checkpoint-"));
    let mut written = 0;
    while !disks.iter().all(has_checkpoint) {
        write(&cluster.handle(0), &format!("key-{}", written % 4), &format!("{written}{value}")).await;
        written += 1;
        assert!(written < 10_000, "no checkpoint after 80 MB");
    }
    write(&cluster.handle(0), "last", "word").await;
    for index in 0..3 {
        cluster.stop(index);
    }
    for index in 0..3 {
        cluster.restart(index);
        assert!(cluster.handle(index).status().applied > Slot::ZERO, "it starts from its checkpoint");
    }
    for index in 0..3 {
        assert_eq!(read(&cluster.handle(index), "last").await.as_deref(), Some("word"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_missed_what_the_others_truncated_gets_their_checkpoint() {
    let disks: Vec<MemoryDisk> = (0..3).map(|_| MemoryDisk::new()).collect();
    let mut cluster = Cluster::start(disks.iter().cloned().map(Storage::Memory).collect());
    write(&cluster.handle(0), "first", "1").await;
    cluster.stop(2);
    let value = "x".repeat(32 * 1024);
    let mut written = 0;
    while (0..2).any(|index| cluster.handle(index).status().truncated < Slot(50)) {
        write(&cluster.handle(0), &format!("key-{}", written % 4), &format!("{written}{value}")).await;
        written += 1;
        assert!(written < 10_000, "nothing was truncated");
    }
    cluster.restart(2);
    let newest = read(&cluster.handle(0), "key-0").await;
    assert_eq!(read(&cluster.handle(2), "key-0").await, newest);
    assert!(disks[2].names().iter().any(|name| name.starts_with("checkpoint-")), "{:?}", disks[2].names());
    let hash = |index: usize| cluster.handle(index).local().view.hash();
    eventually("equal states", || async { (hash(0) == hash(2)).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_sync_fails_stops_for_good_and_acknowledges_nothing_more() {
    let disk = MemoryDisk::new();
    let cluster = Cluster::start(vec![Storage::Memory(disk.clone())]);
    let member = cluster.members[0].as_ref().unwrap();
    let handle = member.handle();
    write(&handle, "key", "before").await;

    disk.fail_sync(0);
    assert_eq!(handle.write(put("key", "after")).await.unwrap_err(), WriteError::Stopped);
    let reason = tokio::time::timeout(PATIENCE, member.stopped()).await.unwrap();
    assert!(matches!(&reason, StopReason::Disk(why) if why.contains("the sync failed")), "{reason}");

    // The next sync would succeed. It is never tried.
    let operations = disk.operations();
    assert_eq!(handle.write(put("key", "again")).await.unwrap_err(), WriteError::Stopped);
    assert_eq!(handle.read().await.unwrap_err(), ReadError::Stopped);
    assert_eq!(disk.operations(), operations);
    assert!(handle.status().errors[0].contains("disk failed") && !handle.status().happy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_called_that_and_the_other_members_go_on() {
    let disks: Vec<MemoryDisk> = (0..3).map(|_| MemoryDisk::new()).collect();
    let cluster = Cluster::start(disks.iter().cloned().map(Storage::Memory).collect());
    write(&cluster.handle(0), "key", "value").await;
    let full = cluster.leader().await;
    disks[full].set_capacity(1);
    let other = cluster.handle((full + 1) % 3);
    let begun = Instant::now();
    let stopped = cluster.members[full].as_ref().unwrap().stopped();
    tokio::pin!(stopped);
    let reason = loop {
        let _ = other.write(put("key", "more")).await;
        if let Ok(reason) = tokio::time::timeout(Duration::from_millis(1), &mut stopped).await {
            break reason;
        }
        assert!(begun.elapsed() < PATIENCE, "the member goes on with a full disk");
    };
    assert!(reason.to_string().contains("the disk is full"), "{reason}");
    write(&other, "key", "newest").await;
    assert_eq!(read(&other, "key").await.as_deref(), Some("newest"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_writes_is_answered_in_full() {
    let cluster = Cluster::in_memory(3);
    write(&cluster.handle(0), "ready", "").await;
    let value = "x".repeat(16 * 1024);
    let writes = (0..30_000).map(|number| {
        let (member, value) = (cluster.handle(number % 3), value.clone());
        tokio::spawn(async move { member.write(put(&format!("key-{}", number % 64), &value)).await })
    });
    let mut counts = (0, 0);
    for written in writes.collect::<Vec<_>>() {
        match written.await.unwrap() {
            Ok(_) => counts.0 += 1,
            Err(WriteError::TooManyRequests | WriteError::TimedOut) => counts.1 += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(counts.0 > 0, "{counts:?}");
    write(&cluster.handle(0), "after", "fine").await;
    assert_eq!(read(&cluster.handle(1), "after").await.as_deref(), Some("fine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_gives_back_ports_and_directory_and_answers_who_waits() {
    let root = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(vec![Storage::Directory(root.path().join("m0"))]);
    write(&cluster.handle(0), "key", "value").await;
    let handle = cluster.handle(0);
    cluster.stop(0);
    assert_eq!(handle.write(put("key", "late")).await.unwrap_err(), WriteError::Stopped);
    assert_eq!(handle.read().await.unwrap_err(), ReadError::Stopped);
    cluster.restart(0);
    assert_eq!(read(&cluster.handle(0), "key").await.as_deref(), Some("value"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_member_on_one_directory_is_refused_and_does_no_harm() {
    let root = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(vec![Storage::Directory(root.path().to_owned())]);
    let error = RunningMember::start(cluster.config(0), loopback()).unwrap_err();
    assert!(matches!(error, StartError::Lock(_)), "{error}");
    write(&cluster.handle(0), "key", "value").await;
}
