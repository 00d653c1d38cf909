//! Earlier copies of a disk, as a backup or a snapshot of a virtual machine has them.

use synod_journal::MemoryDisk;

use crate::random::Random;

/// What was synced at some moment.
#[derive(Debug)]
pub struct Copy {
    /// The disk's contents.
    pub disk: MemoryDisk,
    /// Of which disk: how often an empty one had replaced the first.
    pub generation: u64,
    /// Whether something in it was damaged.
    pub damaged: bool,
}

impl Copy {
    /// What is synced on `disk` now.
    pub fn of(disk: &MemoryDisk, generation: u64, damaged: bool) -> Copy {
        // The disk itself is shared by its clones; what a crash would leave is a disk of its own.
        Copy { disk: disk.after_crash(|_, _| 0), generation, damaged }
    }
}

/// Some copies of one machine's disk, of its present start and of earlier ones.
#[derive(Debug)]
pub struct Copies {
    kept: Vec<Copy>,
    /// Writes since the last copy.
    writes: u32,
    random: Random,
}

/// Copies kept, at most.
const KEPT_MAX: usize = 6;

/// A copy is taken after so many writes.
const EVERY: u32 = 40;

impl Copies {
    /// None yet.
    pub fn new(random: Random) -> Copies {
        Copies { kept: Vec::new(), writes: 0, random }
    }

    /// Something was synced. Whether it is time for another copy.
    pub fn note_write(&mut self) -> bool {
        self.writes += 1;
        self.writes >= EVERY
    }

    /// Keeps a copy. If there are too many, one of the others goes, and not always the oldest.
    pub fn keep(&mut self, copy: Copy) {
        self.writes = 0;
        if self.kept.len() >= KEPT_MAX {
            let index = self.random.below(KEPT_MAX as u64);
            self.kept.remove(usize::try_from(index).expect("an index"));
        }
        self.kept.push(copy);
    }

    /// The first that is still kept.
    pub fn oldest(&self) -> Option<Copy> {
        self.kept.first().map(|copy| Copy::of(&copy.disk, copy.generation, copy.damaged))
    }

    /// One of them. It stays, and may be taken again.
    pub fn draw(&mut self) -> Option<Copy> {
        if self.kept.is_empty() {
            return None;
        }
        let Copy { disk, generation, damaged } = self.random.pick(&self.kept);
        Some(Copy::of(disk, *generation, *damaged))
    }
}
