//! Which connection gives way when there is no room, and which does not.

use std::pin::Pin;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;

use super::super::answer::AnswerBody;
use super::super::request::RequestBody;
use super::*;

const KIB: usize = 1024;

fn accounts(limits: Limits) -> Accounts {
    let short = Duration::from_millis(20);
    Accounts::new(&limits, Patience { stalled: short, room: 5 * short, client: short, ..Patience::default() })
}

/// Room for 100 KiB of unread answers.
fn small() -> Accounts {
    accounts(Limits { max_unread_bytes: 100 * KIB, ..Limits::default() })
}

struct OneFrame(Option<Bytes>);

impl HttpBody for OneFrame {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Status>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A body that never says anything.
struct Silent;

impl HttpBody for Silent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Status>>> {
        std::task::Poll::Pending
    }
}

/// A request that the handler has.
fn request(account: &Arc<Account>) -> Arc<Call> {
    let call = account.begin(0).unwrap();
    call.progress.lock().set(Waiting::ForHandler);
    call
}

/// An answer that is ready, and that the client does not read.
fn answer(call: Arc<Call>, bytes: usize) -> AnswerBody {
    AnswerBody::new(Body::new(OneFrame(Some(Bytes::from(vec![1; bytes])))), call)
}

/// A connection with an unread answer.
async fn hoarder(accounts: &Accounts, bytes: usize) -> (Arc<Account>, AnswerBody) {
    let account = accounts.open();
    let call = request(&account);
    call.unread(bytes).await.unwrap();
    (account, answer(call, bytes))
}

async fn piece(
    body: &mut (impl HttpBody<Data = Bytes, Error = Status> + Unpin),
) -> Option<Result<Bytes, Status>> {
    let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().expect("there are no trailers")))
}

const DROPPED: &str = "synod: the answer was dropped because it was not read in time";

#[tokio::test]
async fn the_connection_that_holds_most_gives_way_to_one_that_holds_less() {
    let accounts = small();
    let (_first, mut larger) = hoarder(&accounts, 60 * KIB).await;
    let (_second, mut smaller) = hoarder(&accounts, 30 * KIB).await;
    let asker = accounts.open();
    let call = request(&asker);
    call.unread(20 * KIB).await.expect("the largest makes room");
    assert_eq!(piece(&mut larger).await.unwrap().unwrap_err().message(), DROPPED);
    assert_eq!(piece(&mut smaller).await.unwrap().unwrap().len(), 30 * KIB);
}

#[tokio::test]
async fn the_connection_that_holds_most_is_refused_itself() {
    let accounts = small();
    let (_first, mut first) = hoarder(&accounts, 40 * KIB).await;
    let (second, mut second_answer) = hoarder(&accounts, 50 * KIB).await;
    let call = request(&second);
    assert_eq!(call.unread(20 * KIB).await, Err(ApiError::TooManyRequests));
    assert!(piece(&mut first).await.unwrap().is_ok() && piece(&mut second_answer).await.unwrap().is_ok());
}

/// The same where no answer ever counts as one that stands still, and none waits for long.
fn small_where_all_are_read() -> Accounts {
    let (stalled, room) = (Duration::from_secs(60), Duration::from_millis(50));
    let limits = Limits { max_unread_bytes: 100 * KIB, ..Limits::default() };
    Accounts::new(&limits, Patience { stalled, room, ..Patience::default() })
}

#[tokio::test]
async fn an_answer_that_is_read_does_not_give_way_to_one_as_large() {
    let accounts = small_where_all_are_read();
    let (_account, mut reading) = hoarder(&accounts, 90 * KIB).await;
    let asker = request(&accounts.open());
    assert_eq!(asker.unread(90 * KIB).await, Err(ApiError::TooManyRequests));
    assert!(piece(&mut reading).await.unwrap().is_ok());
}

#[tokio::test]
async fn an_answer_that_is_read_gives_way_to_a_small_one_when_all_patience_is_over() {
    let accounts = small_where_all_are_read();
    let (_account, mut reading) = hoarder(&accounts, 90 * KIB).await;
    assert_eq!(piece(&mut reading).await.unwrap().unwrap().len(), PIECE_BYTES);
    let (asker, began) = (accounts.open(), Instant::now());
    let call = request(&asker);
    call.unread(20 * KIB).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(50), "it waited first");
}

#[tokio::test]
async fn the_answer_to_a_write_goes_on_the_account_although_there_is_no_room() {
    let accounts = small_where_all_are_read();
    let (_account, _unread) = hoarder(&accounts, 30 * KIB).await;
    let writer = accounts.open();
    let call = request(&writer);
    call.unread_write(90 * KIB).await;
    assert_eq!(accounts.taken(Kind::Unread), 120 * KIB);
    drop(answer(call, 90 * KIB));
    assert_eq!(accounts.taken(Kind::Unread), 30 * KIB);
}

#[tokio::test]
async fn an_answer_larger_than_everything_allowed_goes_alone() {
    let accounts = small();
    let asker = accounts.open();
    let call = request(&asker);
    call.unread(1000 * KIB).await.unwrap();
    let other = request(&accounts.open());
    other.unread(SMALL_ANSWER_BYTES).await.expect("small ones never wait");
    drop(call);
    assert_eq!(accounts.taken(Kind::Unread), 0);
}

#[tokio::test]
async fn a_connection_that_reads_nothing_of_what_was_dropped_ends_when_its_room_is_needed() {
    let accounts = small();
    let mut unread = Vec::new();
    let deaf = accounts.open();
    for _ in 0..2 {
        let call = request(&deaf);
        call.unread(45 * KIB).await.unwrap();
        let mut body = answer(call, 45 * KIB);
        piece(&mut body).await.unwrap().unwrap();
        unread.push(body);
    }
    // Both lie in the transport.
    let asker = accounts.open();
    let call = request(&asker);
    let asking = call.unread(30 * KIB);
    let ending = async {
        deaf.has_to_end().await;
        unread.clear();
    };
    let (room, ()) = tokio::join!(asking, ending);
    room.expect("what the connection held is given back");
}

#[tokio::test]
async fn places_are_given_back_by_small_answers_that_no_client_reads() {
    let accounts = accounts(Limits { max_requests: 2, ..Limits::default() });
    let hoarder = accounts.open();
    let mut unread: Vec<_> = (0..2).map(|_| answer(request(&hoarder), 10)).collect();
    let asker = accounts.open();
    while asker.begin(0).is_err() {
        // The answers have not stood still for long enough yet.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(piece(&mut unread[0]).await.unwrap().unwrap_err().message(), DROPPED, "the older one");
    assert!(piece(&mut unread[1]).await.unwrap().is_ok());
}

#[tokio::test]
async fn what_a_handler_has_begun_is_not_taken_from_it() {
    let accounts = accounts(Limits { max_requests: 2, ..Limits::default() });
    let busy = accounts.open();
    let _calls = [request(&busy), request(&busy)];
    tokio::time::sleep(2 * accounts.patience().stalled).await;
    assert_eq!(accounts.open().begin(0).map(drop), Err(ApiError::TooManyRequests));
    accounts.drop_stalled();
    assert_eq!(accounts.taken(Kind::Places), 2);
}

#[tokio::test]
async fn a_request_that_stops_coming_gives_way_and_is_refused() {
    let accounts = accounts(Limits { max_requests_bytes: 10 * KIB, ..Limits::default() });
    let slow = accounts.open();
    let call = slow.begin(0).unwrap();
    call.receive(8 * KIB, 0).unwrap();
    let mut body = RequestBody::new(Body::new(Silent), call, 100 * KIB);
    let coming = tokio::spawn(async move { piece(&mut body).await.unwrap().unwrap_err() });
    let asker = accounts.open();
    while asker.begin(0).and_then(|call| call.receive(4 * KIB, 0)).is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(coming.await.unwrap().message(), "etcdserver: too many requests");
}

#[tokio::test]
async fn an_answer_goes_in_pieces_and_what_it_took_is_given_back_when_it_is_gone() {
    let accounts = accounts(Limits::default());
    let account = accounts.open();
    let call = request(&account);
    call.receive(7 * KIB, 0).unwrap();
    call.unread(100 * KIB).await.unwrap();
    let mut body = answer(call, 100 * KIB);
    assert_eq!(accounts.taken(Kind::Received), 0, "what was asked is no longer needed");
    assert_eq!(piece(&mut body).await.unwrap().unwrap().len(), PIECE_BYTES);
    assert_eq!(piece(&mut body).await.unwrap().unwrap().len(), 100 * KIB - PIECE_BYTES);
    assert!(piece(&mut body).await.is_none());
    assert_eq!((accounts.taken(Kind::Unread), accounts.taken(Kind::Places)), (100 * KIB, 1));
    assert_eq!(account.idle_since(), None);
    drop(body);
    assert_eq!((accounts.taken(Kind::Unread), accounts.taken(Kind::Places)), (0, 0));
    assert!(account.idle_since().is_some());
}

#[tokio::test]
async fn an_answer_that_no_client_reads_is_dropped_however_small_but_not_one_that_waits_for_news() {
    let accounts = accounts(Limits::default());
    let account = accounts.open();
    let mut unread = answer(request(&account), 10);
    let mut news = AnswerBody::new(Body::new(Silent), request(&account));
    assert!(futures::poll!(std::pin::pin!(piece(&mut news))).is_pending());
    tokio::time::sleep(2 * accounts.patience().client).await;
    accounts.drop_stalled();
    assert_eq!(piece(&mut unread).await.unwrap().unwrap_err().message(), DROPPED);
    assert_eq!(accounts.taken(Kind::Places), 1, "the other one stays");
}

#[tokio::test]
async fn the_connection_that_was_idle_for_longest_makes_room_for_a_new_one() {
    let accounts = accounts(Limits::default());
    assert!(!accounts.end_idlest(Duration::ZERO), "there is none");
    let (idlest, idle, busy) = (accounts.open(), accounts.open(), accounts.open());
    let _call = request(&busy);
    drop(request(&idle));
    assert!(!accounts.end_idlest(Duration::from_secs(3600)));
    assert!(accounts.end_idlest(Duration::ZERO));
    idlest.has_to_end().await;
    assert!(accounts.end_idlest(Duration::ZERO), "then the other one");
    idle.has_to_end().await;
    assert!(!accounts.end_idlest(Duration::ZERO), "never one with a request");
}
