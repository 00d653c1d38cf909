//! Silence is measured by bytes: a slow link is used, however long one frame takes; a silent one is given up.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::*;

/// More than the system's buffers take, so that the writer waits as well.
const FRAME_BYTES: usize = 8 << 20;
/// What the slow links pass, in bytes per second.
const RATE: usize = 700 << 10;
/// What they pass at once.
const PIECE: usize = 16 << 10;
const BUFFER: u32 = 256 << 10;

/// Stands in front of `to`: what a dialer sends arrives at [`RATE`], what it is sent at once.
fn slow_link(to: SocketAddr) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    // Otherwise it grows until it holds the whole frame.
    socket.set_recv_buffer_size(BUFFER).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(16).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (dialer, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut answers, onward) = TcpStream::connect(to).await?.into_split();
                let (sent, mut back) = dialer.into_split();
                tokio::select! {
                    ended = trickle(sent, onward) => ended,
                    ended = tokio::io::copy(&mut answers, &mut back) => ended.map(|_| ()),
                }
            });
        }
    });
    address
}

async fn trickle(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(length as u64) / RATE as u32).await;
        to.write_all(&piece[..length]).await?;
    }
}

/// The lengths of the frames that came.
type Came = Arc<Mutex<Vec<usize>>>;

fn start(index: usize, listener: TcpListener, looked_for: [SocketAddr; 2]) -> (Running, Came) {
    let came = Came::default();
    let log = came.clone();
    let deliver = Box::new(move |_, frame: Bytes| log.lock().push(frame.len()));
    (Running::start(index, listener, looked_for, deliver), came)
}

/// Sends a frame to the other, and again whenever it is lost with its connection, until it came.
async fn send_until_it_comes(peers: &Peers, to: &str, came: &Came) {
    let frame = Bytes::from(vec![1; FRAME_BYTES]);
    let begun = Instant::now();
    let mut lost = None;
    while came.lock().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "it never comes; {:?}", peers.stats());
        if lost.is_none_or(|lost| peers.stats().dropped > lost) {
            lost = Some(peers.stats().dropped);
            peers.send(to, frame.clone());
            peers.flush(to);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(came.lock()[0], FRAME_BYTES);
}

#[tokio::test]
async fn a_frame_that_takes_longer_than_silence_may_last_arrives_in_either_direction() {
    const { assert!(FRAME_BYTES / RATE > 2 * SILENCE_MAX.as_secs() as usize) };
    let ((first, first_at), (second, second_at)) = (loopback(), loopback());
    let looked_for = [slow_link(first_at), slow_link(second_at)];
    let (first, came_to_first) = start(0, first, looked_for);
    let (second, came_to_second) = start(1, second, looked_for);
    tokio::join!(
        send_until_it_comes(&first.peers, NAMES[1], &came_to_second),
        send_until_it_comes(&second.peers, NAMES[0], &came_to_first),
    );
}

#[tokio::test]
async fn a_peer_that_falls_silent_within_a_frame_is_given_up() {
    let ((listener, address), (_, nowhere)) = (loopback(), loopback());
    let (_running, came) = start(0, listener, [address, nowhere]);
    let (mut reads, mut writes) = dial(address).await;
    writes.write_all(&[100, 0, 0, 0, b'a']).await.unwrap();
    // Signs of life come until it gives up.
    let ended = async { while reads.next(0).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("a silent connection is never given up");
    assert!(came.lock().is_empty());
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up_though_much_waits_to_be_written() {
    let ((own, own_at), (listener, address)) = (loopback(), loopback());
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let (running, _) = start(0, own, [own_at, address]);
    let _silent = welcome(&listener).await;
    let never = Came::default();
    let again = async {
        tokio::select! {
            _ = listener.accept() => {}
            () = send_until_it_comes(&running.peers, NAMES[1], &never) => {}
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a silent connection is never given up");
}
