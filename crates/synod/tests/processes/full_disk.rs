//! A disk that takes no more: the member stops and says why, and nothing acknowledged is lost.

use crate::support::cluster::Cluster;
use crate::support::poll::eventually;
use crate::support::process::{Process, in_shell};

/// No file of the member may grow beyond this: about as much as a disk that is nearly full would leave it.
const BLOCKS_OF_512_BYTES: u32 = 512;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_disk_is_full_stops_with_the_reason_and_nothing_is_lost() {
    let mut cluster = Cluster::start(3).await;
    let victim = cluster.follower().await;
    cluster.members[victim].kill();
    // A write beyond the limit fails in the middle, as on a full disk. Without the trap the system would end the process.
    let limit = format!("trap '' XFSZ; ulimit -f {BLOCKS_OF_512_BYTES}");
    let command = &mut in_shell(&limit, &cluster.members[victim].command());
    cluster.members[victim].process = Some(Process::spawn(command, &cluster.members[victim].log));
    cluster.ready().await;

    let leader = cluster.leader().await;
    let mut client = cluster.members[leader].client().await;
    let (value, mut written) = ("v".repeat(10_000), 0);
    let process = cluster.members[victim].process.take().unwrap();
    // Four times what its disk takes, and each write is acknowledged: the other two are a majority.
    while written < 4 * BLOCKS_OF_512_BYTES * 512 / 10_000 {
        client.put(format!("key{written}"), value.as_str(), None).await.unwrap();
        written += 1;
    }
    let (status, printed) = process.ended().await;
    assert_eq!(status.code(), Some(1), "{printed}");
    for part in ["the disk failed, so this member has stopped for good", "journal-", "cannot be written"] {
        assert!(printed.contains(part), "it does not say \"{part}\":\n{printed}");
    }

    // With room again it starts from what it has and gets what it missed.
    cluster.members[victim].start();
    cluster.ready().await;
    let mut client = cluster.members[victim].client().await;
    let all = eventually("it has everything", async || {
        let options = etcd_client::GetOptions::new().with_prefix().with_keys_only();
        client.get("key", Some(options)).await
    });
    assert_eq!(all.await.kvs().len(), written as usize);
}
