//! What processes tell each other about their disks before anything of the protocol counts.
//!
//! Each process asks the process that answers at each other member's address who it is; the answer names the question, so
//! that it is fresh. From the answers follows
//!
//! - the *founding*: one founder decides which disks make up the cluster ([`founding`]);
//! - the *admission*: frames of a peer count only from the process that answered last at its address, if its disk is the
//!   one that the roster names and was not set back ([`judgement`]).
//!
//! Nothing here knows time: any question may be asked at any moment.

pub mod founding;
pub mod hello;
pub mod judgement;

use std::collections::{BTreeMap, VecDeque};

use synod_paxos::config::ClusterId;
use synod_paxos::node::{Incarnation, NodeId};
use synod_probe::mark;

use crate::identity::roster::Roster;
use hello::{Answered, Beginning, Hello, Holding, Refused, Speaker};
use judgement::{Known, Refusal};

/// What a process knows of itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Me {
    /// The cluster that its configuration means.
    pub cluster: ClusterId,
    /// Its name in it.
    pub name: String,
    /// Its disk.
    pub node: NodeId,
    /// Its starts, this one the last: see [`crate::identity::file::Identity::starts`].
    pub starts: Vec<Incarnation>,
    /// How many protocol records its disk had made durable, ever, when it started.
    pub recovered: u64,
    /// The state it would found a cluster with.
    pub beginning: Beginning,
    /// Whether it may found a cluster, and not only join one that is being founded.
    pub founds: bool,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

impl Me {
    /// This start.
    ///
    /// # Panics
    /// If no start was counted.
    pub fn incarnation(&self) -> Incarnation {
        *self.starts.last().expect("a start is counted before anything is said")
    }

    fn speaker(&self) -> Speaker {
        Speaker { cluster: self.cluster, node: self.node, incarnation: self.incarnation() }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send `hello` to the address of the member called `to`.
    Send {
        /// Whom.
        to: String,
        /// What.
        hello: Box<Hello>,
    },
    /// The process at the address of `name` has said who it is.
    Met {
        /// Which member.
        name: String,
        /// Where clients reach it.
        client_urls: Vec<String>,
    },
    /// Make the roster durable, then call [`Introductions::handle_held`].
    Hold(Roster),
    /// A member of the same roster has evidence that this disk was set back: remember it durably, and stop.
    Refused(String),
    /// The cluster knows this member by another disk, or this disk without a roster was set back: stop. Nothing is
    /// written.
    End(String),
}

/// The process that answered last at a peer's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Process {
    speaker: Speaker,
    /// Its starts, and how many records it recovered.
    starts: Vec<Incarnation>,
    recovered: u64,
    holding: Holding,
    /// Whether it may take part, as far as this process knows.
    verdict: Result<(), Refusal>,
}

/// Another member, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Peer {
    /// The last question asked.
    asked: u64,
    /// Answers to this question and to earlier ones come too late.
    heard: u64,
    /// The process that was answered last, and the last question that had been asked by then.
    told: Option<(Speaker, u64)>,
    process: Option<Process>,
    /// Another process has spoken from there since: it is to be asked.
    other_spoke: bool,
    /// Whether it admits this process.
    admits: bool,
    /// Why it refuses this process.
    refuses: Option<String>,
    /// What stands between the two besides.
    trouble: Option<String>,
}

/// One process's introductions to all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Introductions {
    me: Me,
    holding: Holding,
    peers: BTreeMap<String, Peer>,
    known: Known,
    /// It has been told to stop.
    over: bool,
    actions: VecDeque<Action>,
}

impl Introductions {
    /// For a process among the members called `names`, its own among them, whose disk holds `roster`.
    pub fn new(me: Me, names: impl IntoIterator<Item = String>, roster: Option<Roster>) -> Introductions {
        let others = names.into_iter().filter(|name| *name != me.name);
        let mut introductions = Introductions {
            peers: others.map(|name| (name, Peer::default())).collect(),
            me,
            holding: roster.map_or(Holding::Nothing, Holding::Held),
            known: Known::default(),
            over: false,
            actions: VecDeque::new(),
        };
        introductions.decide();
        introductions
    }

    /// The roster, if it is durable here.
    pub fn roster(&self) -> Option<&Roster> {
        match &self.holding {
            Holding::Held(roster) => Some(roster),
            _ => None,
        }
    }

    /// This process.
    pub fn me(&self) -> &Me {
        &self.me
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Asks every peer unless it and this process are known to admit each other.
    pub fn ask(&mut self) {
        let open = self.peers.iter().filter(|(_, peer)| !peer.is_settled());
        for name in open.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.ask_one(&name);
        }
    }

    /// Asks the process at the address of `name` who it is.
    pub fn ask_one(&mut self, name: &str) {
        self.tell(name, None, true);
    }

    /// The numbers of questions to the member called `name` that this process remembers. Only their order matters: a model
    /// checker takes states for one that differ in nothing but the numbers.
    pub fn questions_mut(&mut self, name: &str) -> Vec<&mut u64> {
        let Some(peer) = self.peers.get_mut(name) else { return Vec::new() };
        let told = peer.told.as_mut().map(|(_, asked)| asked);
        [&mut peer.asked, &mut peer.heard].into_iter().chain(told).collect()
    }

    /// Whether nothing needs to be asked: this process and every peer admit each other.
    pub fn is_complete(&self) -> bool {
        self.over || self.peers.values().all(Peer::is_settled)
    }

    /// Whether frames of this process, which come from the address of `name`, count.
    pub fn admits(&self, name: &str, speaker: &Speaker) -> bool {
        let process = self.peers.get(name).and_then(|peer| peer.process.as_ref());
        self.roster().is_some()
            && process.is_some_and(|process| process.verdict.is_ok() && process.speaker == *speaker)
    }

    /// Whether `node` is a peer to whom frames may go.
    pub fn welcomes(&self, node: NodeId) -> bool {
        let processes = self.peers.values().filter_map(|peer| peer.process.as_ref());
        processes.into_iter().any(|process| process.speaker.node == node && process.verdict.is_ok())
    }

    /// A frame came from the address of `name`, and not from the process that is known to be there: asks, unless that
    /// process's answer is being waited for.
    pub fn handle_unknown(&mut self, name: &str, speaker: &Speaker) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        let other = peer.process.as_ref().is_none_or(|process| process.speaker != *speaker);
        peer.other_spoke |= other;
        if other && peer.asked == peer.heard {
            self.ask_one(name);
        }
    }

    /// A process said `hello`, from the address of `name`.
    ///
    /// # Errors
    /// If no peer has that name.
    pub fn handle_hello(&mut self, name: &str, speaker: Speaker, hello: Hello) -> Result<(), String> {
        let Some(peer) = self.peers.get_mut(name) else {
            return Err(format!("no other member is called {name}"));
        };
        if peer.process.as_ref().is_some_and(|process| process.speaker == speaker) {
            peer.admits &= hello.admits;
        }
        let own = self.me.speaker();
        let answered = hello.answer.as_ref().filter(|answer| answer.speaker == own);
        let in_time = |answer: &&Answered| {
            answer.question > peer.heard
                && answer.question <= peer.asked
                && peer.takes(&speaker, answer.question)
        };
        mark!(HelloOutOfDate if hello.answer.is_some() && answered.filter(in_time).is_none());
        if let Some(answer) = answered.filter(in_time) {
            peer.heard = answer.question;
            self.take_answer(name, speaker.clone(), &hello);
        }
        if hello.question > 0 {
            self.answer(name, speaker, &hello);
        }
        Ok(())
    }

    fn answer(&mut self, name: &str, speaker: Speaker, hello: &Hello) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        let met = peer.process.as_ref().filter(|process| process.speaker == speaker);
        // Asked back if something is new and no answer is awaited: two that always ask each other back never stop.
        let news = met.is_none_or(|process| process.holding != hello.holding);
        let asks = news && peer.asked == peer.heard;
        peer.other_spoke |= met.is_none();
        peer.told = Some((speaker.clone(), peer.asked));
        self.tell(name, Some(Answered { speaker, question: hello.question }), asks);
    }

    /// Says who this is, in answer to a question or not, and asks back or not.
    fn tell(&mut self, name: &str, answer: Option<Answered>, asks: bool) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        peer.asked += u64::from(asks);
        let question = if asks { peer.asked } else { 0 };
        let about =
            |process: &&Process| answer.as_ref().is_none_or(|answer| answer.speaker == process.speaker);
        let verdict = peer.process.as_ref().filter(about).map(|process| &process.verdict);
        let refusal = verdict.and_then(|verdict| verdict.as_ref().err()).filter(|refusal| !refusal.passes());
        let refused =
            refusal.map(|refusal| Refused { set_back: refusal.is_set_back(), reason: refusal.to_string() });
        // A disk that was set back before it held the roster must not get at it again: it is told after it was judged.
        let judged = verdict
            .is_some_and(|verdict| verdict.as_ref().err().is_none_or(|refusal| !refusal.is_set_back()));
        let shows = judged || refused.is_some() || !matches!(self.holding, Holding::Held(_));
        let hello = Hello {
            name: self.me.name.clone(),
            to: name.to_owned(),
            question,
            answer,
            starts: self.me.starts.clone(),
            recovered: self.me.recovered,
            beginning: self.me.beginning,
            holding: if shows { self.holding.clone() } else { Holding::Pending },
            admits: matches!(verdict, Some(Ok(()))),
            refused,
            client_urls: self.me.client_urls.clone(),
        };
        self.actions.push_back(Action::Send { to: name.to_owned(), hello: Box::new(hello) });
    }

    fn take_answer(&mut self, name: &str, speaker: Speaker, hello: &Hello) {
        let trouble = self.misdirected(name, &speaker, hello);
        let verdict = match &trouble {
            Some(_) => Err(Refusal::Elsewhere),
            None => self.judge(name, &speaker, hello),
        };
        let process = Process {
            speaker,
            starts: hello.starts.clone(),
            recovered: hello.recovered,
            holding: hello.holding.clone(),
            verdict,
        };
        let Some(peer) = self.peers.get_mut(name) else { return };
        let met = peer.process.as_ref().is_some_and(|met| met.speaker == process.speaker);
        // It tells its roster once it has judged this process, which it has by the time of the next question.
        let asks = !met && process.holding == Holding::Pending;
        peer.process = Some(process);
        peer.other_spoke = false;
        peer.admits = hello.admits;
        peer.refuses = hello.refused.as_ref().map(|refused| refused.reason.clone());
        peer.trouble = trouble;
        if peer.trouble.is_some() || self.over {
            return;
        }
        self.actions.push_back(Action::Met { name: name.to_owned(), client_urls: hello.client_urls.clone() });
        self.heed_refusal(name, hello);
        self.adopt(name, hello);
        self.decide();
        if asks && !self.over {
            self.ask_one(name);
        }
    }

    /// Whether the answer comes from another cluster or member than the one that was asked.
    fn misdirected(&self, name: &str, speaker: &Speaker, hello: &Hello) -> Option<String> {
        if speaker.cluster != self.me.cluster {
            return Some(format!(
                "belongs to cluster {}, this member to {}: compare --initial-cluster and --initial-cluster-token",
                speaker.cluster, self.me.cluster
            ));
        }
        if hello.name != name {
            return Some(format!(
                "calls itself \"{}\": compare the addresses in --initial-cluster",
                hello.name
            ));
        }
        (hello.to != self.me.name).then(|| {
            format!("takes this member for \"{}\": compare the addresses in --initial-cluster", hello.to)
        })
    }

    /// A refusal counts from a member of the same roster. A disk without a roster has nothing to remember it by.
    fn heed_refusal(&mut self, name: &str, hello: &Hello) {
        let Some(refused) = hello.refused.as_ref().filter(|refused| refused.set_back) else { return };
        let same = matches!((&self.holding, &hello.holding), (Holding::Held(a), Holding::Held(b)) if a == b);
        let reason = format!("{name} says: {}", refused.reason);
        if same {
            mark!(SetBackDiskRefused);
            self.stop(Action::Refused(reason));
        } else if self.holding == Holding::Nothing {
            self.stop(Action::End(reason));
        }
    }

    fn stop(&mut self, action: Action) {
        if !self.over {
            self.over = true;
            self.actions.clear();
            self.actions.push_back(action);
        }
    }

    /// This process, as others name it.
    pub fn speaker(&self) -> Speaker {
        self.me.speaker()
    }

    /// The peers that refuse this process or are refused, each with the reason in words.
    pub fn strangers(&self) -> Vec<(String, String)> {
        let strangers = self.peers.iter().filter(|(_, peer)| peer.is_refused() || peer.refuses.is_some());
        strangers.map(|(name, peer)| (name.clone(), peer.words())).collect()
    }
}

impl Peer {
    /// Whether the answer of this process to `question` may be taken. Once a process was answered, what another one says
    /// to an earlier question is void: so what was said about the roster stays true of this process.
    fn takes(&self, speaker: &Speaker, question: u64) -> bool {
        self.told.as_ref().is_none_or(|(told, asked)| told == speaker || question > *asked)
    }

    fn is_welcome(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.verdict.is_ok())
    }

    fn is_refused(&self) -> bool {
        let verdict = self.process.as_ref().map(|process| &process.verdict);
        self.trouble.is_some() || matches!(verdict, Some(Err(refusal)) if !refusal.passes())
    }

    fn is_settled(&self) -> bool {
        self.is_welcome() && self.admits && !self.other_spoke
    }

    fn words(&self) -> String {
        let Some(process) = &self.process else { return "has not answered".to_owned() };
        if let Some(trouble) = &self.trouble {
            return trouble.clone();
        }
        let here = process.verdict.as_ref().err().map(|refusal| format!("is refused here: {refusal}"));
        let there = self.refuses.as_ref().map(|reason| format!("refuses this member: {reason}"));
        here.into_iter().chain(there).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
