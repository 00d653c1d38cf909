//! A client that speaks HTTP/2 frame by frame: what no library would send, and what one sends in no order that a test
//! could count on.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::PATIENCE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const INITIAL_WINDOW_SIZE: u16 = 4;
const CANCEL: u32 = 8;

pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Frame {
    /// Whether it is all there is of an answer without a message, or its end.
    pub fn ends(&self, stream: u32) -> bool {
        self.kind == HEADERS && self.flags & END_STREAM != 0 && self.stream == stream
    }
}

pub struct Http2 {
    socket: TcpStream,
    /// What is sent with the next flush.
    out: Vec<u8>,
    last_stream: Option<u32>,
}

impl Http2 {
    /// A connection on which every answer may have `window` bytes until the client reads.
    pub async fn connect(address: SocketAddr, window: u32) -> Http2 {
        let socket = TcpStream::connect(address).await.unwrap();
        let mut http = Http2 { socket, out: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), last_stream: None };
        let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
        http.frame(SETTINGS, 0, 0, &setting);
        http.flush().await;
        http
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }

    /// Begins a call of a method and returns its stream.
    pub fn begin(&mut self, path: &str) -> u32 {
        let stream = self.last_stream.map_or(1, |last| last + 2);
        self.last_stream = Some(stream);
        // POST, http, and what has to be spelled out, without Huffman codes and without a table.
        let mut head = vec![0x83, 0x86];
        let spelled = |head: &mut Vec<u8>, name: &[u8], value: &str| {
            head.extend_from_slice(name);
            head.push(u8::try_from(value.len()).unwrap());
            head.extend_from_slice(value.as_bytes());
        };
        spelled(&mut head, &[0x04], path);
        spelled(&mut head, &[0x01], "test");
        spelled(&mut head, &[0x0f, 0x10], "application/grpc");
        spelled(&mut head, b"\x00\x02te", "trailers");
        self.frame(HEADERS, END_HEADERS, stream, &head);
        stream
    }

    /// Sends the message of a call, and that it is all.
    pub fn say(&mut self, stream: u32, message: &impl Message) {
        let message = message.encode_to_vec();
        let payload = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
        self.frame(DATA, END_STREAM, stream, &payload);
    }

    /// Cancels a call.
    pub fn cancel(&mut self, stream: u32) {
        self.frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
    }

    /// Sends everything at once; that the other end has closed the connection is no error here.
    pub async fn flush(&mut self) {
        let out = std::mem::take(&mut self.out);
        let _ = tokio::time::timeout(PATIENCE, self.socket.write_all(&out)).await.expect("it is taken");
    }

    /// The next frame, none at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        let reading = async {
            let mut head = [0; 9];
            self.socket.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            self.socket.read_exact(&mut vec![0; length]).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let frame = Frame { kind: head[3], flags: head[4], stream };
            if frame.kind == SETTINGS && frame.flags == 0 {
                self.frame(SETTINGS, 1, 0, &[]);
                self.flush().await;
            }
            Some(frame)
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("something comes")
    }

    /// Reads until a frame is what `wanted` says; none if the connection ends before. Tells how many frames of each
    /// kind came before it.
    pub async fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> (Option<Frame>, BTreeMap<u8, usize>) {
        let mut before = BTreeMap::new();
        while let Some(frame) = self.next().await {
            if wanted(&frame) {
                return (Some(frame), before);
            }
            *before.entry(frame.kind).or_default() += 1;
        }
        (None, before)
    }
}
