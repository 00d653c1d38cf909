//! A disk that hangs: syncs do not return. It must not keep a member from ending when it is asked to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cluster::Cluster;
use crate::support::poll::eventually;
use crate::support::process::{Process, run, stdout};

/// Stands before the C library: while the file that `HANG` names exists, no sync returns.
const HANGING_SYNC: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void hang(void) {
    while (access(getenv("HANG"), F_OK) == 0) usleep(10000);
}

int fsync(int file) {
    hang();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    hang();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
"#;

async fn build(dir: &Path) -> PathBuf {
    let (source, library) = (dir.join("hang.c"), dir.join("hang.so"));
    fs::write(&source, HANGING_SYNC).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    stdout(&run(cc).await);
    library
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_ends_when_it_is_asked_to_though_its_disk_hangs() {
    let mut cluster = Cluster::found(1);
    let library = build(cluster.dir.path()).await;
    let hang = cluster.dir.path().join("hang");
    let member = &mut cluster.members[0];
    let start = || {
        let mut command = member.command();
        command.env("LD_PRELOAD", &library).env("HANG", &hang);
        Process::spawn(&mut command, &member.log)
    };

    // While it starts.
    fs::write(&hang, "").unwrap();
    let starting = start();
    eventually("it hangs", async || if member.data.exists() { Ok(()) } else { Err("it has not begun") })
        .await;
    starting.terminate();
    let (status, printed) = starting.ended().await;
    assert_eq!(status.code(), Some(0), "{printed}");

    // In the middle of its work.
    fs::remove_file(&hang).unwrap();
    let process = start();
    let mut client = member.client().await;
    eventually("it serves", async || client.put("key", "value", None).await).await;
    fs::write(&hang, "").unwrap();
    let hanging = tokio::spawn(async move { client.put("key", "never synced", None).await });
    eventually("it says that its disk hangs", async || {
        if process.printed().contains("the disk has not finished a write") {
            Ok(())
        } else {
            Err("it says nothing")
        }
    })
    .await;
    process.terminate();
    let (status, printed) = process.ended().await;
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("did not stop within"), "{printed}");
    hanging.await.unwrap().unwrap_err();
}
