//! Nothing that was synced is lost, whatever operation a crash comes at and whatever it leaves.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use support::{Choices, append, numbers, open, record, state};
use synod_journal::{Journal, MemoryDisk, OpenError, Recovered};

/// What must be there.
#[derive(Clone, Debug, Default)]
struct Model {
    /// Batches up to this one were given to a journal.
    appended: u64,
    /// Batches up to this one are durable: a sync or an open has returned.
    durable: u64,
    /// A truncation up to this one was begun.
    truncated: u64,
}

impl Model {
    /// Compares, and takes over what turned out to have survived.
    fn check(&mut self, recovered: &Recovered) {
        let found = numbers(recovered);
        let last = found.last().copied().unwrap_or(self.truncated);
        let first = found.first().copied().unwrap_or(last + 1);
        assert_eq!(found, (first..=last).collect::<Vec<_>>(), "each once and in order");
        assert!(first <= self.truncated + 1, "{first} is the first, but only {self:?} was truncated");
        assert!((self.durable..=self.appended).contains(&last), "up to {last}, but {self:?}");
        let state_found = recovered.state.as_ref().map(|state| String::from_utf8(state.to_vec()).unwrap());
        assert_eq!(state_found, (last > 0).then(|| state(last)), "the newest state: {self:?}");
        (self.appended, self.durable) = (last, last);
    }

    /// A group of so many batches.
    fn group(&mut self, journal: &mut Journal, batches: u64) -> Result<(), String> {
        for _ in 0..batches {
            self.appended += 1;
            append(journal, self.appended);
        }
        journal.sync().map_err(|error| error.to_string())?;
        self.durable = self.appended;
        Ok(())
    }

    /// Opens, writes groups of these sizes, truncates, and writes one more group.
    fn live(&mut self, disk: &MemoryDisk, groups: &[u64], truncate: bool) -> Result<(), String> {
        let opened = match open(disk) {
            Err(error @ (OpenError::Io { .. } | OpenError::Write(_))) => Err(error.to_string()),
            other => Ok(other.unwrap_or_else(|error| panic!("{error}, {self:?}"))),
        };
        let (mut journal, recovered) = opened?;
        self.check(&recovered);
        let on_disk: usize = support::files(disk).iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(journal.bytes(), on_disk as u64, "nothing else is left: {:?}", disk.names());
        for batches in groups {
            self.group(&mut journal, *batches)?;
        }
        if truncate {
            self.truncated = self.truncated.max(self.durable.saturating_sub(2));
            journal.truncate(self.truncated).map_err(|error| error.to_string())?;
            self.group(&mut journal, 1)?;
        }
        Ok(())
    }
}

/// One of the ways in which a crash may leave unsynced bytes.
fn tear(choices: &mut Choices, unsynced: &mut Vec<u8>) {
    let length = unsynced.len();
    let middle = length / 2;
    match choices.choose(8) {
        0 => unsynced.clear(),
        1 => unsynced.truncate(1),
        2 => unsynced.truncate(middle),
        3 => unsynced.truncate(length - 1),
        4 => {}
        5 => unsynced[..middle].fill(0),
        6 => unsynced[middle..].fill(0),
        _ => unsynced.iter_mut().for_each(|byte| *byte ^= 0x5a),
    }
}

/// What a crash may leave of a disk.
fn crash(choices: &mut Choices, disk: &MemoryDisk) -> MemoryDisk {
    let changes = choices.choose(disk.unsynced_directory_changes() + 1);
    disk.after_tearing_crash(changes, |_, unsynced| tear(choices, unsynced))
}

/// How many changing operations a life takes.
fn operations(disk: &MemoryDisk, model: &Model, groups: &[u64], truncate: bool) -> u64 {
    let (disk, mut model) = (support::copy(disk), model.clone());
    let before = disk.operations();
    model.live(&disk, groups, truncate).unwrap();
    disk.operations() - before
}

/// The last life: everything is there, and the journal works.
fn settle(disk: &MemoryDisk, model: &mut Model) {
    model.live(disk, &[2], false).unwrap();
    model.live(&disk.after_crash(|_, _| 0), &[], false).unwrap();
}

#[test]
fn a_crash_at_any_operation_with_any_part_of_the_unsynced_bytes_loses_nothing_synced() {
    let groups = [1, 3, 1, 2, 1];
    let all = operations(&MemoryDisk::new(), &Model::default(), &groups, true);
    let mut runs = 0;
    for stop in 0..=all {
        for kept in 0..400 {
            let (disk, mut model) = (MemoryDisk::new(), Model::default());
            disk.stop_after(stop);
            assert_eq!(model.live(&disk, &groups, true).is_ok(), stop == all);
            for changes in 0..=disk.unsynced_directory_changes() {
                let mut longest = 0;
                let crashed = disk.after_tearing_crash(changes, |_, unsynced| {
                    longest = longest.max(unsynced.len());
                    unsynced.truncate(kept);
                });
                if kept <= longest {
                    settle(&crashed, &mut model.clone());
                    runs += 1;
                }
            }
        }
    }
    assert!(runs > 500, "{runs}");
}

#[test]
fn a_crash_that_keeps_any_sectors_of_the_unsynced_bytes_loses_nothing_synced() {
    const SECTOR: usize = 48;
    let groups = [1, 3, 2];
    let all = operations(&MemoryDisk::new(), &Model::default(), &groups, false);
    let runs = Choices::every_way(|choices| {
        let (disk, mut model) = (MemoryDisk::new(), Model::default());
        let stop = choices.choose(all as usize + 1) as u64;
        disk.stop_after(stop);
        assert_eq!(model.live(&disk, &groups, false).is_ok(), stop == all);
        let changes = choices.choose(disk.unsynced_directory_changes() + 1);
        let crashed = disk.after_tearing_crash(changes, |_, unsynced| {
            for sector in unsynced.chunks_mut(SECTOR) {
                if choices.choose(2) == 1 {
                    sector.fill(0);
                }
            }
        });
        settle(&crashed, &mut model);
    });
    assert!(runs > 50, "{runs}");
}

#[test]
fn two_crashes_one_after_the_other_lose_nothing_synced() {
    let (first, second) = ([2, 1, 3], [2]);
    let all = operations(&MemoryDisk::new(), &Model::default(), &first, true);
    let runs = Choices::every_way(|choices| {
        let (disk, mut model) = (MemoryDisk::new(), Model::default());
        disk.stop_after(choices.choose(all as usize + 1) as u64);
        let _ = model.live(&disk, &first, true);
        let disk = crash(choices, &disk);
        let again = operations(&disk, &model, &second, false);
        disk.stop_after(choices.choose(again as usize + 1) as u64);
        let _ = model.live(&disk, &second, false);
        settle(&crash(choices, &disk), &mut model);
    });
    assert!(runs > 1000, "{runs}");
}

/// The last group is acknowledged, and no batch bears witness to it yet.
#[test]
fn crashes_in_three_starts_one_after_the_other_lose_nothing_synced() {
    let runs = Choices::every_way(|choices| {
        let (mut disk, mut model) = (MemoryDisk::new(), Model::default());
        model.live(&disk, &[1, 3], false).unwrap();
        for _ in 0..3 {
            disk = crash(choices, &disk);
            let all = operations(&disk, &model, &[], false);
            disk.stop_after(choices.choose(all as usize + 1) as u64);
            let _ = model.live(&disk, &[], false);
        }
        settle(&crash(choices, &disk), &mut model);
    });
    assert!(runs > 1000, "{runs}");
}

#[test]
fn an_operation_that_fails_and_a_power_loss_later_lose_nothing_synced() {
    let (first, second) = ([2, 1, 3], [1]);
    let all = operations(&MemoryDisk::new(), &Model::default(), &first, true);
    let runs = Choices::every_way(|choices| {
        let (mut disk, mut model) = (MemoryDisk::new(), Model::default());
        disk.fail_operation(choices.choose(all as usize) as u64);
        assert!(model.live(&disk, &first, true).is_err());
        // The process starts again, and what is read may be in the cache only; or there is a power loss first.
        if choices.choose(2) == 1 {
            disk = crash(choices, &disk);
        }
        if choices.choose(2) == 1 {
            let again = operations(&support::copy(&disk), &model, &second, false);
            disk.fail_operation(choices.choose(again as usize) as u64);
        }
        let _ = model.live(&disk, &second, false);
        settle(&crash(choices, &disk), &mut model);
    });
    assert!(runs > 1000, "{runs}");
}

#[derive(Clone, Debug)]
enum Step {
    /// A batch with so much padding.
    Append(usize),
    Sync,
    Truncate(u8),
    FailSync,
    Restart,
    Crash(Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![0..40_usize, 4000..5000_usize].prop_map(Step::Append),
        5 => Just(Step::Sync),
        1 => (0..60_u8).prop_map(Step::Truncate),
        1 => Just(Step::FailSync),
        1 => Just(Step::Restart),
        1 => prop::collection::vec(0..500_usize, 4).prop_map(Step::Crash),
    ]
}

/// Does to unsynced bytes what four numbers say: cuts them, and garbles a part.
fn tear_by(numbers: &[usize], unsynced: &mut Vec<u8>) {
    unsynced.truncate(numbers[0]);
    let length = unsynced.len();
    let from = numbers[1].min(length);
    let to = (from + numbers[2]).min(length);
    unsynced[from..to].iter_mut().for_each(|byte| *byte ^= numbers[3] as u8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_random_life_loses_nothing_that_was_synced(steps in prop::collection::vec(step(), 1..80)) {
        let (mut disk, mut model) = (MemoryDisk::new(), Model::default());
        let mut journal = open(&disk).unwrap().0;
        let mut failed = false;
        for step in steps {
            let mut restart = false;
            match step {
                Step::Append(length) => {
                    model.appended += 1;
                    let newest = model.appended;
                    let padded = [&record(newest)[..], &vec![b' '; length]].concat();
                    journal.append(state(newest).as_bytes(), newest, &[Bytes::from(padded)]);
                }
                Step::Sync => match journal.sync() {
                    Ok(()) => model.durable = model.appended,
                    Err(_) => assert!(failed, "only a failed sync fails it"),
                },
                Step::Truncate(mark) => {
                    let mark = u64::from(mark).min(model.durable.saturating_sub(1));
                    if journal.truncate(mark).is_ok() {
                        model.truncated = model.truncated.max(mark);
                    }
                }
                Step::FailSync => {
                    disk.fail_sync(0);
                    failed = true;
                }
                Step::Restart => restart = true,
                Step::Crash(numbers) => {
                    let changes = numbers[0] % (disk.unsynced_directory_changes() + 1);
                    disk = disk.after_tearing_crash(changes, |_, unsynced| tear_by(&numbers, unsynced));
                    (restart, failed) = (true, false);
                }
            }
            if restart {
                let opened = open(&disk);
                // A sync that fails while a journal is opened: the next start has no such bad luck.
                let (reopened, recovered) = match opened {
                    Err(OpenError::Write(_)) if failed => open(&disk).unwrap(),
                    other => other.unwrap(),
                };
                journal = reopened;
                model.check(&recovered);
                failed = false;
            }
        }
    }
}
