//! What a journal costs on a directory: `cargo run --release -p synod-journal --example sync_cost -- DIRECTORY`
//!
//! Measures an append of 4 KiB with one `fdatasync`, by itself and through a journal, and what grouping gains.
//! Refuses filesystems in memory, on which a sync does nothing.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_journal::{DirectoryDisk, Disk, Identity, Journal, Options};

const ROUNDS: usize = 2000;

/// Names of filesystems by the magic numbers of `statfs(2)`, and whether they keep files in memory.
const FILESYSTEMS: [(u32, &str, bool); 9] = [
    (0x0000_ef53, "ext2/ext3/ext4", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683e, "btrfs", false),
    (0x2fc1_2fc1, "zfs", false),
    (0xf2f5_2010, "f2fs", false),
    (0x794c_7630, "overlayfs", false),
    (0x0000_6969, "nfs", false),
    (0x0102_1994, "tmpfs", true),
    (0x8584_58f6, "ramfs", true),
];

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which directory?")?;
    println!("filesystem: {}", filesystem(&directory)?);
    let scratch = directory.join(format!("sync-cost-{}", std::process::id()));
    let measured = measure(&scratch);
    std::fs::remove_dir_all(&scratch)?;
    measured
}

/// # Errors
/// If it is in memory.
fn filesystem(directory: &Path) -> Result<String, Box<dyn Error>> {
    // The type of the field differs between architectures; the magic number is its low half.
    let magic = rustix::fs::statfs(directory)?.f_type as u32;
    let known = FILESYSTEMS.iter().find(|(number, ..)| *number == magic);
    match known {
        Some((_, name, true)) => {
            Err(format!("{} is on {name}, which is in memory: name one on a disk", directory.display())
                .into())
        }
        Some((_, name, false)) => Ok((*name).to_owned()),
        None => Ok(format!("unknown ({magic:#x})")),
    }
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
