//! A bug in what a connection does ends the member, like a bug in any thread of it.

use super::*;

#[tokio::test]
async fn a_panic_in_the_task_of_a_connection_ends_the_thread_of_all() {
    let ((listener, address), (_, nowhere)) = (loopback(), loopback());
    let deliver: Deliver = Box::new(|_, _| panic!("a bug, made on purpose"));
    let running = Running::start(0, listener, [address, nowhere], deliver);
    let (mut reads, mut writes) = dial(address).await;
    write_frames(&mut writes, &[Bytes::from_static(b"frame")]).await.unwrap();
    let ended = async { while reads.next(0).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the connection goes on");

    let begun = Instant::now();
    while !running.thread.is_finished() {
        assert!(begun.elapsed() < PATIENCE, "the thread goes on as if nothing had happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let panic = running.thread.join().unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"a bug, made on purpose"));
    drop(running.peers);
}
