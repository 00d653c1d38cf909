//! A hello: what a process says of itself and of its disk.

use bytes::{BufMut, BytesMut};
use synod_paxos::config::ClusterId;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;

use crate::codec::{DecodeError, Reader, Writer};
use crate::identity::roster::Roster;

/// One process, as frames name their sender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Speaker {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its disk.
    pub node: NodeId,
    /// Its start.
    pub incarnation: Incarnation,
}

/// Whose question is answered, and which one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answered {
    /// The process that asked.
    pub speaker: Speaker,
    /// Its count of questions to this member.
    pub question: u64,
}

/// The state that a cluster is founded with: empty, or restored from a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Beginning {
    /// The slot it stands at.
    pub slot: Slot,
    /// Its hash.
    pub hash: u64,
}

/// The founding roster on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holding {
    /// None: nothing was promised.
    Nothing,
    /// One that may not be adopted: it is on its way to the disk, or the process that is told of it was not judged yet.
    Pending,
    /// This one, durably.
    Held(Roster),
}

/// A refusal of the process that is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refused {
    /// Whether because its disk was set back to an earlier copy.
    pub set_back: bool,
    /// In words.
    pub reason: String,
}

/// What a process says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hello {
    /// Its name.
    pub name: String,
    /// The name of the member that it means to speak to.
    pub to: String,
    /// Its question, counted from 1; 0 if it asks nothing.
    pub question: u64,
    /// The question that this answers.
    pub answer: Option<Answered>,
    /// Its disk's starts in order, the running one last.
    pub starts: Vec<Incarnation>,
    /// How many records its disk had ever made durable when it started.
    pub recovered: u64,
    /// The state it would found a cluster with.
    pub beginning: Beginning,
    /// The roster on its disk.
    pub holding: Holding,
    /// Whether it admits the process that it speaks to: takes its frames.
    pub admits: bool,
    /// Why it does not, if it refuses that process.
    pub refused: Option<Refused>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

impl Hello {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.bytes(self.name.as_bytes());
        out.bytes(self.to.as_bytes());
        out.put_u64_le(self.question);
        out.flag(self.answer.is_some());
        if let Some(Answered { speaker, question }) = &self.answer {
            out.put_u64_le(speaker.cluster.0);
            out.put_u64_le(speaker.node.0);
            out.incarnation(speaker.incarnation);
            out.put_u64_le(*question);
        }
        out.count(self.starts.len());
        for start in &self.starts {
            out.incarnation(*start);
        }
        out.put_u64_le(self.recovered);
        out.slot(self.beginning.slot);
        out.put_u64_le(self.beginning.hash);
        match &self.holding {
            Holding::Nothing => out.put_u8(0),
            Holding::Pending => out.put_u8(1),
            Holding::Held(roster) => {
                out.put_u8(2);
                roster.encode(out);
            }
        }
        out.flag(self.admits);
        out.flag(self.refused.is_some());
        if let Some(Refused { set_back, reason }) = &self.refused {
            out.flag(*set_back);
            out.bytes(reason.as_bytes());
        }
        out.count(self.client_urls.len());
        for url in &self.client_urls {
            out.bytes(url.as_bytes());
        }
    }

    pub(crate) fn decode(reader: &mut Reader) -> Result<Hello, DecodeError> {
        Ok(Hello {
            name: reader.text("name")?,
            to: reader.text("addressee")?,
            question: reader.u64("question")?,
            answer: reader.optional("answer", |reader| {
                let cluster = ClusterId(reader.u64("cluster")?);
                let node = NodeId(reader.u64("asker")?);
                let speaker = Speaker { cluster, node, incarnation: reader.incarnation()? };
                Ok(Answered { speaker, question: reader.u64("question")? })
            })?,
            starts: reader.list("starts", Reader::incarnation)?,
            recovered: reader.u64("records")?,
            beginning: Beginning { slot: reader.slot()?, hash: reader.u64("hash")? },
            holding: match reader.u8("roster")? {
                0 => Holding::Nothing,
                1 => Holding::Pending,
                2 => Holding::Held(Roster::decode(reader)?),
                tag => return Err(DecodeError::Tag { what: "roster", tag }),
            },
            admits: reader.flag("admission")?,
            refused: reader.optional("refusal", |reader| {
                let set_back = reader.flag("kind of refusal")?;
                Ok(Refused { set_back, reason: reader.text("reason")? })
            })?,
            client_urls: reader.list("client addresses", |reader| reader.text("client address"))?,
        })
    }
}
