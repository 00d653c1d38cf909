//! The peer port against everybody who is not a peer.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use synod_server::cluster::{Founder, Founding, Url};
use synod_server::member::{MemberConfig, MemoryDisk, RunningMember, StopReason, Storage, listen};
use synod_store::request::{Command, Put};

const PATIENCE: Duration = Duration::from_secs(60);

fn loopback() -> TcpListener {
    listen("peer", &[Url::new("127.0.0.1", 0)]).unwrap().remove(0)
}

fn founding(token: &str, addresses: &[SocketAddr]) -> Founding {
    let founders = addresses.iter().enumerate().map(|(index, address)| Founder {
        name: format!("m{index}"),
        peer_urls: vec![Url::new("127.0.0.1", address.port())],
    });
    Founding::new(token, founders.collect()).unwrap()
}

fn start(index: usize, founding: &Founding, listener: TcpListener, disk: MemoryDisk) -> RunningMember {
    let config = MemberConfig {
        heartbeat_interval: Duration::from_millis(20),
        election_timeout: Duration::from_millis(150),
        ..MemberConfig::new(format!("m{index}"), founding.clone(), Storage::Memory(disk))
    };
    RunningMember::start(config, vec![listener]).unwrap()
}

/// One member of a cluster of one: it works whatever strangers do.
fn alone() -> (RunningMember, SocketAddr) {
    let listener = loopback();
    let address = listener.local_addr().unwrap();
    (start(0, &founding("alone", &[address]), listener, MemoryDisk::new()), address)
}

fn assert_works(member: &RunningMember) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let handle = member.handle();
    let begun = Instant::now();
    while runtime.block_on(handle.write(Command::Put(Put::new("key", "value")))).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the member does not work any more");
    }
}

/// Sends bytes and reads until the other side closes.
fn talk(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The other side may have closed already.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    answer
}

fn wait_for_rejections(member: &RunningMember, count: u64) {
    let begun = Instant::now();
    while member.peer_stats().rejected < count {
        assert!(begun.elapsed() < PATIENCE, "{:?}, expected {count}", member.peer_stats());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn garbage_is_answered_by_closing_and_is_counted() {
    let (member, address) = alone();
    let mut noise = 0x9e37_79b9_u32;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    })
    .take(100_000)
    .collect();
    let floods = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xff; 1000],
        framed(b"hello"),
        framed(&[0; 1000]),
        framed(b"SYNOD/2\n and then nothing that makes sense"),
        vec![0; 4],
        random,
    ];
    for (index, garbage) in floods.iter().enumerate() {
        talk(address, garbage);
        wait_for_rejections(&member, index as u64 + 1);
    }
    assert_works(&member);
}

#[test]
fn strangers_who_say_nothing_are_bounded_and_closed_in_time() {
    let (member, address) = alone();
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    wait_for_rejections(&member, 200);
    drop(silent);
    assert_works(&member);
}

/// Waits until the status of `member` says so.
fn wait_for_word(member: &RunningMember, word: &str) {
    let begun = Instant::now();
    loop {
        let errors = member.handle().status().errors;
        if errors.iter().any(|error| error.contains(word)) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not say {word:?}: {errors:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `member` has stopped by itself, and says why.
fn wait_for_end(member: &RunningMember) -> StopReason {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stopped = runtime.block_on(async { tokio::time::timeout(PATIENCE, member.stopped()).await });
    stopped.expect("the member goes on")
}

#[test]
fn members_of_two_clusters_refuse_each_other() {
    let (first, second) = (loopback(), loopback());
    let addresses = [first.local_addr().unwrap(), second.local_addr().unwrap()];
    // The same addresses, two tokens: m0 of one cluster meets m1 of the other.
    let m0 = start(0, &founding("one", &addresses), first, MemoryDisk::new());
    let m1 = start(1, &founding("two", &addresses), second, MemoryDisk::new());
    wait_for_rejections(&m0, 2);
    wait_for_rejections(&m1, 2);
    wait_for_word(&m0, "m1 has not answered");
    assert!(m0.handle().status().leader.is_none() && m1.handle().status().leader.is_none());
}

#[test]
fn founding_waits_for_every_founder_and_status_names_the_missing_one() {
    let listeners = [loopback(), loopback(), loopback()];
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let founding = founding("late", &addresses);
    let [first, second, third] = listeners;
    let m0 = start(0, &founding, first, MemoryDisk::new());
    let m1 = start(1, &founding, second, MemoryDisk::new());
    wait_for_word(&m0, "m2 has not answered");
    wait_for_word(&m1, "m2 has not answered");
    assert_eq!(m0.handle().members().len(), 1, "the others' disks are not settled");
    let m2 = start(2, &founding, third, MemoryDisk::new());
    for member in [&m0, &m1, &m2] {
        assert_works(member);
        assert_eq!(member.handle().members().len(), 3);
        assert!(member.handle().status().errors.is_empty());
    }
}

#[test]
fn a_member_that_lost_its_disk_is_refused_and_stops_while_the_others_work_on() {
    let listeners = [loopback(), loopback(), loopback()];
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let founding = founding("wiped", &addresses);
    let [first, second, third] = listeners;
    let m2 = start(2, &founding, third, MemoryDisk::new());
    let m0 = start(0, &founding, first, MemoryDisk::new());
    let m1 = start(1, &founding, second, MemoryDisk::new());
    assert_works(&m2);
    m2.stop();

    let wiped = listen("peer", &founding.founders()[2].peer_urls).unwrap().remove(0);
    let wiped = start(2, &founding, wiped, MemoryDisk::new());
    let reason = wait_for_end(&wiped);
    assert!(matches!(&reason, StopReason::Refused(why) if why.contains("another disk")), "{reason}");
    assert_works(&m0);
    assert_works(&m1);
}
