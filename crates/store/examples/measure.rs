//! The measurements behind `docs/decisions/store.md`: the store beside a `std` map under a lock, which has no views
//! and so shows what they cost.
//!
//! ```text
//! cargo run --release -p synod-store --example measure ceiling|store|snapshot [keys]
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io::{BufReader, BufWriter, Read, Write};
use std::ops::Bound;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_store::request::{Command, Compact, KeyRange, Put, Range};
use synod_store::{Restore, Store};

const VALUE: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let keys: u64 = arguments.next().map_or(Ok(1_000_000), |keys| keys.parse())?;
    println!("{keys} keys of 24 B, values of {VALUE} B, {what}");
    match what.as_str() {
        "ceiling" => ceiling(keys),
        "store" => {
            let mut store = store(keys);
            beside_a_reader(&mut store, keys);
            compaction(&mut store);
        }
        "snapshot" => snapshots(keys)?,
        _ => return Err("name one of: ceiling, store, snapshot".into()),
    }
    Ok(())
}

/// The n-th key in an order without order; `keys` must not be a multiple of the prime.
fn key(n: u64, keys: u64) -> Bytes {
    format!("/registry/pods/{:09}", n.wrapping_mul(7_368_787) % keys).into()
}

fn put(n: u64, keys: u64) -> Command {
    Command::Put(Put::new(key(n, keys), vec![n as u8; VALUE]))
}

/// Processor time of this thread: other programs on the machine disturb it less than the clock.
fn processor() -> Duration {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// The average of one of `count` runs. What `prepare` takes is not counted: it is done ten thousand at a time.
fn time<T>(what: &str, count: u64, mut prepare: impl FnMut(u64) -> T, mut run: impl FnMut(&T)) {
    let mut spent = Duration::ZERO;
    let mut done = 0;
    while done < count {
        let next = count.min(done + 10_000);
        let prepared: Vec<T> = (done..next).map(&mut prepare).collect();
        let start = processor();
        prepared.iter().for_each(&mut run);
        spent += processor() - start;
        done = next;
    }
    println!("{what:<44} {:>10.2} µs", spent.as_secs_f64() * 1e6 / count as f64);
}

fn once<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let (start, start_processor) = (Instant::now(), processor());
    let result = run();
    let (clock, processor) = (start.elapsed().as_secs_f64(), (processor() - start_processor).as_secs_f64());
    println!("{what:<44} {:>10.1} ms ({:.1} by the clock)", processor * 1e3, clock * 1e3);
    result
}

fn memory(what: &str) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown");
    println!("{what:<44} {:>13}", resident.trim());
}

/// One version in the ceiling: revision, creation, version, value.
type Row = (i64, i64, i64, Bytes);

fn ceiling(keys: u64) {
    let map: Mutex<BTreeMap<Bytes, Vec<Row>>> = Mutex::default();
    let mut revision = 1;
    let mut write = |command: &Command| {
        let Command::Put(put) = command else { return };
        revision += 1;
        let mut map = map.lock().expect("no thread panicked");
        let value = Bytes::copy_from_slice(&put.value);
        match map.get_mut(&put.key) {
            Some(rows) => {
                let (create, version) = rows.last().map_or((revision, 0), |row| (row.1, row.2));
                rows.push((revision, create, version + 1, value));
            }
            None => {
                map.insert(Bytes::copy_from_slice(&put.key), vec![(revision, revision, 1, value)]);
            }
        }
    };
    time("load", keys, |n| put(n, keys), &mut write);
    time("overwrite", keys, |n| put(n * 31, keys), &mut write);
    let get = |key: &Bytes| drop(black_box(map.lock().expect("no thread panicked").get(key).cloned()));
    time("get", keys, |n| key(n * 17, keys), get);
    let range = |key: &Bytes| {
        let map = map.lock().expect("no thread panicked");
        let bounds = (Bound::Included(key), Bound::Unbounded);
        let rows = map.range::<Bytes, _>(bounds).take(1000);
        drop(black_box(rows.map(|(key, rows)| (key.clone(), rows.last().cloned())).collect::<Vec<_>>()));
    };
    time("range of 1,000", 2000, |n| key(n * 17, keys), range);
    memory("resident");
}

fn store(keys: u64) -> Store {
    let mut store = Store::new();
    let mut apply = |command: &Command| drop(black_box(store.apply(command)));
    time("load", keys, |n| put(n, keys), &mut apply);
    memory("resident");
    reads(&store, keys);
    let loaded = store.revision();
    let mut apply = |command: &Command| drop(black_box(store.apply(command)));
    time("overwrite", keys, |n| put(n * 31, keys), &mut apply);
    memory("resident");
    let (mut view, mut applied) = (store.view(), 0);
    let publish = |command: &Command| {
        drop(black_box(store.apply(command)));
        applied += 1;
        if applied % 64 == 0 {
            view = store.view();
        }
    };
    time("overwrite, a new view every 64", keys, |n| put(n * 37, keys), publish);
    memory("resident");
    drop(view);
    let past = |n| Range { revision: loaded, ..thousand(n, keys) };
    let view = store.view();
    time("range of 1,000, two versions back", 2000, past, |range| drop(black_box(view.range(range))));
    drop(view);
    time("take a view", 1_000_000, |_| (), |()| drop(black_box(store.view())));
    store
}

fn thousand(n: u64, keys: u64) -> Range {
    let first = (n * 7919) % (keys - 1000).max(1);
    let name = |n| Bytes::from(format!("/registry/pods/{n:09}"));
    Range::new(KeyRange::Span(name(first), name(first + 1000)))
}

fn reads(store: &Store, keys: u64) {
    let view = store.view();
    let one = |n| Range::new(KeyRange::One(key(n * 17, keys)));
    let read = |range: &Range| drop(black_box(view.range(range)));
    time("get", keys, one, read);
    time("range of 1,000", 2000, |n| thousand(n, keys), read);
    let count = Range { count_only: true, ..Range::new(KeyRange::From("\0".into())) };
    once("count all", || view.range(&count).map(|response| response.count).ok());
    once("hash", || view.hash());
}

/// Writes while another thread goes through a view again and again.
fn beside_a_reader(store: &mut Store, keys: u64) {
    let stop = AtomicBool::new(false);
    let view = store.view();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                black_box(view.encode().map(|chunk| chunk.len()).sum::<usize>());
            }
        });
        let mut longest = Duration::ZERO;
        let apply = |command: &Command| {
            let start = Instant::now();
            drop(black_box(store.apply(command)));
            longest = longest.max(start.elapsed());
        };
        time("overwrite, beside a thread that encodes", keys, |n| put(n * 41, keys), apply);
        println!("{:<44} {:>10.2} ms by the clock", "the longest of these", longest.as_secs_f64() * 1e3);
        stop.store(true, Ordering::Relaxed);
    });
}

fn snapshots(keys: u64) -> Result<(), Box<dyn Error>> {
    let mut store = Store::new();
    (0..keys).for_each(|n| drop(store.apply(&put(n, keys))));
    println!("one version of each key");
    snapshot_once(&store)?;
    (0..keys).for_each(|n| drop(store.apply(&put(n * 31, keys))));
    println!("two versions of each key");
    snapshot_once(&store)
}

fn snapshot_once(store: &Store) -> Result<(), Box<dyn Error>> {
    once("encode", || store.view().encode().map(|chunk| chunk.len()).sum::<usize>());
    let path = std::env::temp_dir().join(format!("synod-store-measure-{}", std::process::id()));
    once("encode, write and sync", || -> std::io::Result<()> {
        let mut file = BufWriter::new(fs::File::create(&path)?);
        store.view().encode().try_for_each(|chunk| file.write_all(&chunk))?;
        file.into_inner()?.sync_all()
    })?;
    println!("{:<44} {:>10.1} MiB", "size", fs::metadata(&path)?.len() as f64 / f64::from(1 << 20));
    let restored = once("read and restore", || -> Result<Store, Box<dyn Error>> {
        let mut file = BufReader::with_capacity(1 << 20, fs::File::open(&path)?);
        let mut buffer = vec![0; 1 << 18];
        let mut restore = Restore::new();
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(restore.finish()?),
                read => restore.push(&buffer[..read])?,
            }
        }
    })?;
    fs::remove_file(&path)?;
    if restored.hash() != store.hash() {
        return Err("the restored store differs".into());
    }
    Ok(())
}

fn compaction(store: &mut Store) {
    let bytes = |store: &Store| store.bytes() as f64 / f64::from(1 << 20);
    println!("{:<44} {:>10.1} MiB", "bytes(), four versions of each key", bytes(store));
    memory("resident");
    let revision = store.revision();
    once("compact", || store.apply(&Command::Compact(Compact { revision })));
    let mut longest = Duration::ZERO;
    once("give the memory back, step by step", || {
        loop {
            let start = Instant::now();
            let more = store.tidy();
            longest = longest.max(start.elapsed());
            if !more {
                break;
            }
        }
    });
    println!("{:<44} {:>10.2} ms by the clock", "the longest of these steps", longest.as_secs_f64() * 1e3);
    println!("{:<44} {:>10.1} MiB", "bytes(), one version of each key", bytes(store));
    memory("resident");
}
