//! Journals whose contents can be told from their numbers.

#![allow(dead_code, clippy::unwrap_used)]

use bytes::Bytes;
use synod_journal::{Identity, Journal, MemoryDisk, OpenError, Options, Recovered};

pub const IDENTITY: Identity = Identity { cluster: 7, node: 3 };

/// So small that a few batches fill a segment.
pub const SMALL: Options = Options { segment_bytes: 300, covered: None };

pub fn open(disk: &MemoryDisk) -> Result<(Journal, Recovered), OpenError> {
    Journal::open(disk.clone(), IDENTITY, SMALL)
}

pub fn record(number: u64) -> Bytes {
    format!("record {number:02}").into()
}

pub fn state(number: u64) -> String {
    format!("state {number:02}")
}

/// Adds a batch of one record.
pub fn append(journal: &mut Journal, number: u64) {
    journal.append(state(number).as_bytes(), number, &[record(number)]);
}

/// Writes batches of one record each, synced one by one.
pub fn write(journal: &mut Journal, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        append(journal, number);
        journal.sync().unwrap();
    }
}

/// A disk with batches 1 to `count`, each synced by itself, in several segments.
pub fn written(count: u64) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (mut journal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered, Recovered::default());
    write(&mut journal, 1..=count);
    disk
}

/// A disk of its own with the same files.
pub fn copy(disk: &MemoryDisk) -> MemoryDisk {
    disk.after_crash(|_, unsynced| unsynced)
}

/// Every file with its bytes.
pub fn files(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let contents = |name: &String| disk.contents(name).unwrap();
    disk.names().into_iter().map(|name| (name.clone(), contents(&name))).collect()
}

/// Where the batches of a segment begin, and where the last ends.
pub fn batch_offsets(segment: &[u8]) -> Vec<usize> {
    let mut offsets = vec![76];
    while offsets[offsets.len() - 1] < segment.len() {
        let at = offsets[offsets.len() - 1];
        let length = u32::from_le_bytes(segment[at + 8..at + 12].try_into().unwrap());
        offsets.push(at + 12 + length as usize);
    }
    offsets
}

/// The numbers of the records, in order.
pub fn numbers(recovered: &Recovered) -> Vec<u64> {
    let text = |record: &Bytes| String::from_utf8(record.to_vec()).unwrap();
    let number = |record| text(record).strip_prefix("record ").unwrap().trim_end().parse().unwrap();
    recovered.records.iter().map(number).collect()
}

/// Runs a test once for every sequence of choices that it can make.
#[derive(Debug, Default)]
pub struct Choices {
    /// What was chosen, of how many.
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    /// A number below `options`.
    pub fn choose(&mut self, options: usize) -> usize {
        assert!(options > 0);
        if self.at == self.taken.len() {
            self.taken.push((0, options));
        }
        let (chosen, of) = self.taken[self.at];
        assert_eq!(of, options, "the same choices lead to the same place");
        self.at += 1;
        chosen
    }

    /// How many runs there were.
    pub fn every_way(mut run: impl FnMut(&mut Choices)) -> u64 {
        let mut choices = Choices::default();
        for runs in 1.. {
            choices.at = 0;
            run(&mut choices);
            loop {
                match choices.taken.pop() {
                    None => return runs,
                    Some((chosen, of)) if chosen + 1 < of => {
                        choices.taken.push((chosen + 1, of));
                        break;
                    }
                    Some(_) => {}
                }
            }
        }
        unreachable!("it returns when nothing is left to choose")
    }
}
