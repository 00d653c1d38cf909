//! What a journal costs on a directory: `cargo run --release -p synod-journal --example sync_cost -- DIRECTORY`
//!
//! Measures an append of 4 KiB with one `fdatasync`, by itself and through a journal, and what grouping gains.
//! Refuses filesystems in memory, on which a sync does nothing.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_journal::filesystem::filesystem;
use synod_journal::{DirectoryDisk, Disk, Identity, Journal, Options};

const ROUNDS: usize = 2000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which directory?")?;
    let filesystem = filesystem(&directory)?;
    if filesystem.in_memory {
        let (directory, name) = (directory.display(), filesystem.name);
        return Err(format!("{directory} is on {name}, which is in memory: name one on a disk").into());
    }
    println!("filesystem: {}", filesystem.name);
    let scratch = directory.join(format!("sync-cost-{}", std::process::id()));
    let measured = measure(&scratch);
    std::fs::remove_dir_all(&scratch)?;
    measured
}

fn measure(scratch: &Path) -> Result<(), Box<dyn Error>> {
    let block = vec![0x5a; 4096];
    let mut disk = DirectoryDisk::new(scratch)?;
    let mut file = disk.create("plain")?;
    let times = repeat(ROUNDS, || {
        file.append(&[std::io::IoSlice::new(&block)])?;
        Ok(file.sync()?)
    })?;
    report("append of 4 KiB and fdatasync", &times, 1);
    for (batches, bytes) in [(1, 4096), (1, 256), (8, 256), (64, 256), (256, 256), (1, 1 << 20)] {
        let mut journal = journal(&scratch.join(format!("{batches}-{bytes}")))?;
        let record = Bytes::from(vec![0x5a; bytes]);
        let rounds = if bytes > 4096 { ROUNDS / 20 } else { ROUNDS };
        let times = repeat(rounds, || {
            for mark in 0..batches {
                journal.append(&[0; 48], mark, std::slice::from_ref(&record));
            }
            Ok(journal.sync()?)
        })?;
        report(&format!("journal, {batches} of {bytes} B a sync"), &times, batches);
    }
    let (opened, bytes) = restart(&scratch.join("256-256"))?;
    println!("opening a journal of {} MiB: {:.0} ms", bytes >> 20, opened.as_secs_f64() * 1e3);
    Ok(())
}

fn journal(directory: &Path) -> Result<Journal, Box<dyn Error>> {
    let disk = DirectoryDisk::new(directory)?;
    Ok(Journal::open(disk, Identity { cluster: 1, node: 1 }, Options::default())?.0)
}

fn restart(directory: &Path) -> Result<(Duration, u64), Box<dyn Error>> {
    let start = Instant::now();
    let bytes = journal(directory)?.bytes();
    Ok((start.elapsed(), bytes))
}

/// How long each call took, shortest first.
fn repeat(
    rounds: usize,
    mut call: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

fn report(what: &str, times: &[Duration], batches: u64) {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let (p50, p99) = (micros(times[times.len() / 2]), micros(times[times.len() * 99 / 100]));
    println!("{what:36} p50 {p50:8.1} µs   p99 {p99:8.1} µs   a batch {:8.2} µs", p50 / batches as f64);
}
