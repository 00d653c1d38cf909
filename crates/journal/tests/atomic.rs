//! A file that is replaced is the old one or the new one, never something between.

#![allow(clippy::unwrap_used)]

mod support;

use support::Choices;
use synod_journal::atomic::{AtomicFile, TEMPORARY_SUFFIX, write_atomically};
use synod_journal::{DirectoryDisk, Disk, MemoryDisk};

#[test]
fn a_crash_at_any_operation_leaves_the_old_file_or_the_new_one() {
    let (mut old, mut new) = (0, 0);
    Choices::every_way(|choices| {
        let mut disk = MemoryDisk::new();
        write_atomically(&mut disk, "file", b"the old one").unwrap();
        let before = disk.operations();
        let all = 6;
        disk.stop_after(choices.choose(all + 1) as u64);
        let write = |disk: &mut MemoryDisk| {
            let mut file = AtomicFile::create(disk, "file")?;
            file.append(b"the new ")?;
            file.append(b"one")?;
            file.finish(disk)
        };
        let written = write(&mut disk);
        assert!(
            written.is_err() || disk.operations() - before == all as u64,
            "create, 2 writes, sync, rename, sync"
        );
        let changes = choices.choose(disk.unsynced_directory_changes() + 1);
        let kept = choices.choose(12);
        let mut disk = disk.after_tearing_crash(changes, |_, unsynced| unsynced.truncate(kept));
        match &disk.read("file").unwrap()[..] {
            b"the old one" if written.is_err() => old += 1,
            b"the new one" => new += 1,
            other => panic!("{other:?} although the result was {written:?}"),
        }
        // A leftover is no obstacle.
        write_atomically(&mut disk, "file", b"the newest").unwrap();
        assert_eq!(disk.after_crash(|_, _| 0).contents("file").unwrap(), b"the newest");
        assert_eq!(disk.names(), ["file"]);
    });
    assert!(old > 0 && new > 0, "{old} old, {new} new");
}

#[test]
fn a_failed_sync_leaves_the_old_file() {
    let mut disk = MemoryDisk::new();
    write_atomically(&mut disk, "file", b"old").unwrap();
    disk.fail_sync(0);
    write_atomically(&mut disk, "file", b"new").unwrap_err();
    assert_eq!(disk.read("file").unwrap(), b"old");
}

#[test]
fn a_full_disk_leaves_the_old_file_and_says_so() {
    let mut disk = MemoryDisk::new();
    write_atomically(&mut disk, "file", b"old").unwrap();
    disk.set_capacity(8);
    let error = write_atomically(&mut disk, "file", b"longer than that").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(disk.read("file").unwrap(), b"old");
}

#[test]
fn a_real_directory_replaces_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut disk = DirectoryDisk::new(directory.path()).unwrap();
    for contents in [&b"one"[..], b"", b"three"] {
        write_atomically(&mut disk, "file", contents).unwrap();
        assert_eq!(disk.read("file").unwrap(), contents);
    }
    std::fs::write(directory.path().join(format!("file{TEMPORARY_SUFFIX}")), "left over").unwrap();
    write_atomically(&mut disk, "file", b"four").unwrap();
    assert_eq!((disk.read("file").unwrap(), disk.list().unwrap().len()), (b"four".to_vec(), 1));
    assert!(disk.create("file").is_err(), "a new file must be new");
}
