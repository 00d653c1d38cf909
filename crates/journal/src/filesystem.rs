//! What kind of filesystem a directory lies on: on some, a sync makes nothing durable.

use std::io;
use std::path::Path;

/// By the magic numbers of `statfs(2)`.
const FILESYSTEMS: [(u32, Filesystem); 9] = [
    (0x0000_ef53, Filesystem { name: "ext2/ext3/ext4", in_memory: false }),
    (0x5846_5342, Filesystem { name: "xfs", in_memory: false }),
    (0x9123_683e, Filesystem { name: "btrfs", in_memory: false }),
    (0x2fc1_2fc1, Filesystem { name: "zfs", in_memory: false }),
    (0xf2f5_2010, Filesystem { name: "f2fs", in_memory: false }),
    (0x794c_7630, Filesystem { name: "overlayfs", in_memory: false }),
    (0x0000_6969, Filesystem { name: "nfs", in_memory: false }),
    (0x0102_1994, Filesystem { name: "tmpfs", in_memory: true }),
    (0x8584_58f6, Filesystem { name: "ramfs", in_memory: true }),
];

/// A kind of filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// What it is called.
    pub name: &'static str,
    /// Whether its files are gone when the machine is: syncs do nothing.
    pub in_memory: bool,
}

/// The kind on which `directory` lies; one that is not listed here is taken for one on a disk.
///
/// # Errors
/// As the system reports them, such as for a directory that does not exist.
pub fn filesystem(directory: &Path) -> io::Result<Filesystem> {
    // The type of the field differs between architectures; the magic number is its low half.
    let magic = rustix::fs::statfs(directory)?.f_type as u32;
    let known = FILESYSTEMS.iter().find(|(number, _)| *number == magic);
    Ok(known.map_or(Filesystem { name: "unknown", in_memory: false }, |(_, filesystem)| *filesystem))
}
