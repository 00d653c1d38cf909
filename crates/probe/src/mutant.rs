//! Wrong versions of rules. One at a time is active, on one thread.

macro_rules! mutants {
    ($($rule:literal { $($(#[doc = $doc:literal])+ $name:ident,)+ })+) => {
        /// A rule, and how it is broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mutant {
            $($($(#[doc = $doc])+ $name,)+)+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Mutant] = &[$($(Mutant::$name,)+)+];

            /// Its name, as written in the code.
            pub const fn name(self) -> &'static str {
                match self { $($(Mutant::$name => stringify!($name),)+)+ }
            }

            /// What it does wrong.
            pub const fn meaning(self) -> &'static str {
                match self { $($(Mutant::$name => concat!($($doc,)+).trim_ascii(),)+)+ }
            }

            /// What the rule is about.
            pub const fn rule(self) -> &'static str {
                match self { $($(Mutant::$name)|+ => $rule,)+ }
            }
        }
    };
}

mutants! {
    "the harness itself" {
        /// A value counts as chosen at the first vote: a harness that does not notice this one notices nothing.
        Canary,
    }
    "durability" {
        /// An acceptor forgets its promise when it restarts.
        PromiseForgotten,
        /// An acceptor forgets its votes when it restarts.
        VoteForgotten,
        /// A replica's journal is cut behind a snapshot, and votes that are not in the snapshot with it.
        SnapshotForgetsVotes,
        /// An answer leaves before what it reveals is durable.
        ReplyBeforeWrite,
        /// A proposer asks with a ballot before its use is durable.
        PrepareBeforeWrite,
        /// A proposer forgets at a restart which ballots it used (single decree).
        BallotReused,
        /// A leader counts its own vote before it is durable.
        OwnVoteCountedAtOnce,
    }
    "whose disk it is" {
        /// A founder adopts a roster although it names another disk under its name.
        OtherDisksRosterAdopted,
        /// The founder that decides does not ask whether another one holds a roster.
        DeciderDoesNotAsk,
        /// A start that the log registered is taken for shown whatever its nonce.
        StartsNonceIgnored,
        /// The count of records begins anew with what the journal still holds.
        RecordsCountedAfresh,
    }
    "promises and votes" {
        /// An acceptor votes although it has promised a higher ballot.
        PromiseIgnored,
        /// An acceptor promises a ballot below one that it has promised, and keeps to the lower one.
        PromiseLowered,
        /// A vote does not raise the promise.
        AcceptKeepsPromise,
        /// A promise tells of a vote as if it had been cast with the ballot promised before.
        PromisedReportedAsVoted,
        /// A promise tells of the first slot asked about only.
        OnlyFirstSlotReported,
        /// A promise says nothing of slots that are chosen and truncated.
        TruncatedReportedAsNothing,
        /// A new leader takes slots that a promise says are chosen for empty.
        ChosenPrefixIgnored,
        /// A promise reports slots as chosen that the acceptor has only heard of and does not hold.
        KnownReportedAsChosen,
    }
    "what may be proposed" {
        /// A proposer proposes its own value whatever was voted for (P2c).
        OwnValuePicked,
        /// A proposer takes the value of the lowest ballot reported.
        LowestBallotPicked,
        /// A proposer takes the value of any vote reported.
        AnyValuePicked,
        /// A new leader leaves a gap below a recovered slot.
        GapLeft,
        /// A new leader puts new commands into slots that it has recovered.
        RecoveredSlotsReused,
    }
    "quorums" {
        /// Phase 1 quorums are one acceptor too small.
        Phase1QuorumTooSmall,
        /// Phase 2 quorums are one acceptor too small.
        Phase2QuorumTooSmall,
        /// An acceptor that answers twice counts twice.
        DuplicateCounted,
        /// A promise of another ballot counts.
        PromiseOfOtherBallotCounted,
    }
    "learning" {
        /// Votes for one value are added up across ballots (single decree).
        LearnerCountsByValue,
        /// A leader counts votes of its earlier ballots.
        VotesOfOtherBallotsCounted,
        /// A member takes its own vote as chosen whatever the ballot of the commit notice.
        CommitNoticeUnchecked,
        /// A leader goes on with a ballot with which it proposed another value than the one chosen.
        LeaderKeepsLostBallot,
        /// A member tells of its votes as chosen when it is asked for chosen values.
        VotesTakenForChosen,
        /// A chosen value that was fetched is not written, so that after a restart the own vote stands for it.
        FetchedValueNotWritten,
        /// A learner goes on behind a slot that it has not learned.
        GapSkipped,
        /// A member that is behind does not ask for what it misses.
        NeverFetches,
        /// Lost messages are not sent again.
        NothingSentAgain,
        /// A leader waits for a source of chosen slots that is gone.
        StrandedLeaderWaits,
        /// A leader's commit notices go as far as anyone says that slots are chosen.
        NoticeByHearsay,
    }
    "leaders" {
        /// A follower is content with a leader that says it has no quorum.
        StickyLeaderWithoutQuorum,
        /// A member offers itself although another reports a happy leader, and is not refused for it.
        HappyLeaderDisturbed,
        /// Who was refused tries again at once.
        NoBackoff,
        /// A stalled member gives way to one that is connected to no quorum.
        GivesWayToQuorumless,
    }
    "reads" {
        /// A leader answers reads without asking whether it still leads.
        ReadWithoutRound,
        /// A read shares a round that was sent before it arrived.
        ReadSharesSentRound,
        /// A read shares a forwarded request that was sent before it arrived.
        ReadSharesSentRequest,
        /// Answers to an earlier round confirm reads.
        ReadRoundUnchecked,
        /// A member confirms a leader's reads whatever it has promised.
        ReadConfirmedByAnyPromise,
        /// A read does not wait for the slots that the leader recovered.
        ReadIgnoresRecoveredSlots,
        /// A read waits for the recovered slots only.
        ReadIgnoresChosenSlots,
        /// A read's index is the prefix that the leader holds, not the one that its notices speak of.
        ReadIndexFromHeld,
        /// A leader notes the read index before its phase 1 is complete.
        ReadTakenByCandidate,
        /// A restarted member takes the answer to a read of the process before.
        ReadAnswerOfOtherProcess,
        /// A confirmed read is served whatever has been applied.
        ReadNotWaitingForApply,
    }
    "snapshots and truncation" {
        /// Installing a checkpoint drops the votes above it.
        InstallDropsVotes,
        /// Dropping votes that a checkpoint covers drops the promise with them.
        TruncationDropsPromise,
        /// An applier replaces its state by an older checkpoint.
        OlderCheckpointInstalled,
        /// A checkpoint says that it holds one slot more than was applied to its data.
        CheckpointPositionApart,
        /// A checkpoint leaves out which submissions were applied.
        SessionsNotInCheckpoint,
        /// The log is truncated up to what is applied, not up to what the durable checkpoint covers.
        TruncatedBeyondCheckpoint,
        /// The journal deletes its oldest segments whatever slots they speak of.
        SegmentDeletedTooEarly,
        /// Who sent a checkpoint that cannot be used is asked for it again.
        RottenSourceAskedAgain,
        /// The old checkpoint is removed before the new one is durable.
        OldCheckpointRemovedFirst,
    }
    "writes, once" {
        /// A submission that comes again is applied again.
        DedupeForgotten,
        /// A submission that its origin gave up is applied nevertheless.
        FloorIgnored,
        /// A submission of a process that is not the registered one is applied.
        OtherProcessAdmitted,
        /// The late registration of an earlier process replaces that of the present one.
        OlderRegistrationTaken,
        /// A submission is offered to one leader, once.
        WriteOfferedOnce,
        /// A member takes the outcome of an earlier process's submission for that of its own.
        ReplyToOtherProcess,
        /// A write that was offered to a leader is refused when no answer comes, as if it could not happen any more.
        RefusedAfterOffer,
    }
    "the journal" {
        /// A write is reported durable without a sync.
        SyncSkipped,
        /// A sync that failed is tried again and believed.
        SyncRetried,
        /// A file gets its name before its contents are synced.
        FileNamedBeforeSync,
        /// A file's new name is not synced.
        NameNotSynced,
        /// A batch says that those written with it were synced before it.
        SyncedThroughOverstated,
        /// Damage is taken for a torn tail, and what lies behind it is dropped.
        DamageTakenForTornTail,
        /// What was recovered but not proven synced is not written again.
        UnprovenTailNotRewritten,
        /// A batch is believed whatever its checksum.
        ChecksumIgnored,
        /// A batch is believed that was written for another place.
        MisplacedBatchTaken,
    }
    "Egalitarian Paxos" {
        /// A recovery is told of a vote as if it had been cast with the ballot promised last (Sutra, 2019).
        EpaxosSingleBallot,
        /// Fast quorums are one replica too small.
        EpaxosFastQuorumTooSmall,
        /// Slow quorums are one replica too small.
        EpaxosSlowQuorumTooSmall,
        /// The owner compares the others' answers with each other, not with its own dependencies.
        EpaxosAnswersCompared,
        /// A replica votes, or pre-accepts, although it has promised a higher ballot.
        EpaxosPromiseIgnored,
        /// A replica forgets at a restart which ballots it promised.
        EpaxosPromiseForgotten,
        /// The owner tells of a fast commit before it is durable.
        EpaxosFastCommitBeforeWrite,
        /// A replica counts its commands from the beginning after a restart.
        EpaxosCounterReused,
        /// A replica forgets at a restart of which commands it knew as dependencies only.
        EpaxosDependenciesForgotten,
        /// An owner goes on after a restart where it would be without one.
        EpaxosOwnerLeadsOn,
        /// A recovery takes more votes than there may be for a command that was committed on the fast path.
        EpaxosTooManySupporters,
        /// A recovery takes the command over without asking what speaks against it.
        EpaxosRecoveryWithoutValidation,
        /// Who is asked what speaks against a command does not take note of it.
        EpaxosValidationForgotten,
        /// A recovery does not wait for the commands that may speak against its own.
        EpaxosWaitsForNobody,
        /// A recovery that waits takes no notice of what is committed against it.
        EpaxosCommittedAgainstIgnored,
        /// A recovery that waits believes what is held of a command that was executed in another's state.
        EpaxosOpenInstanceBelieved,
        /// What is forgotten speaks against a command that was executed in another's state.
        EpaxosGoneSpeaksAgainstExecuted,
        /// A recovery that waits gives way to any other.
        EpaxosGivesWayToAll,
        /// A no-op interferes with nothing.
        EpaxosNopInterferesWithNothing,
        /// The owner of a command that became a no-op does not propose it again.
        EpaxosNopNotProposedAgain,
        /// A command is executed, and answered, when it is committed.
        EpaxosReplyAtCommit,
        /// A command is executed before one that it depends on is committed.
        EpaxosOpenDependencyIgnored,
        /// The commands of a cycle are executed in the order in which they are found.
        EpaxosCycleIgnored,
        /// Commands that interfere are proposed however many others wait for their execution.
        EpaxosConflictsUnlimited,
        /// Commands are forgotten as soon as they are executed here.
        EpaxosCollectedTooEarly,
        /// Commands are forgotten while others are open that may have been proposed before.
        EpaxosOpenCommandsIgnored,
        /// A replica forgets what it has executed because another has forgotten it.
        EpaxosForgetsWithOthers,
        /// Nothing is forgotten that is newer than a command of which only a state is left.
        EpaxosForgetsByKnown,
        /// Who recovers a command is not told that another has taken it over with a state.
        EpaxosTakenOverUntold,
        /// What an installed state lacks of what was executed here is not executed again.
        EpaxosNotExecutedAgain,
    }
    "the store" {
        /// A transaction succeeds whether its conditions hold or not.
        CompareIgnored,
        /// A transaction that is refused half-way leaves its first steps behind.
        TxnNotRolledBack,
        /// A compaction may name a revision that is yet to come.
        CompactionAhead,
    }
    "Fast Paxos" {
        /// Fast quorums are one acceptor too small.
        FastQuorumTooSmall,
        /// An acceptor votes again in a fast round in which it has voted.
        FastVotedTwice,
        /// Of the values voted for in the last fast round, a coordinator takes the one it sees first.
        FastAnySeenValuePicked,
        /// A value may be chosen only if most of a fast quorum is seen to have voted for it: true of four acceptors.
        FastMajorityShortcut,
        /// A coordinator takes a divided fast round for one in which nothing can have been chosen.
        FastDividedTakenForFree,
        /// A coordinator forgets at a restart which ballots it used (Fast Paxos).
        FastBallotReused,
        /// A coordinator opens a fast round although a value may have been chosen.
        FastAnyAfterVotes,
        /// A coordinator goes on from a collision with fewer votes than a classic quorum has.
        FastCollisionSeenByTooFew,
        /// A coordinator takes votes of a fast round for promises of a round that does not follow it at once.
        FastRecoverySkipsRound,
        /// An acceptor votes in the fast round that recovers without heeding the votes in the one before.
        FastRecoveryIgnoresVotes,
        /// An acceptor forgets its promise when it restarts (Fast Paxos).
        FastPromiseForgotten,
        /// An acceptor forgets its votes when it restarts (Fast Paxos).
        FastVoteForgotten,
        /// An acceptor votes although it has promised a higher round (Fast Paxos).
        FastPromiseIgnored,
        /// A vote does not raise the promise (Fast Paxos).
        FastVoteKeepsPromise,
        /// A learner adds up the votes of a fast round whatever they are for.
        FastVotesAddedUp,
    }
    "Fast Paxos as a log" {
        /// A writer goes on in the slots that one leader opened with the ballot of the next.
        FastLogGrantOutlivesBallot,
        /// A leader leaves the open slots that nobody has filled.
        FastLogOpenSlotsLeft,
        /// A leader proposes in the classic round of slots that it has opened, without having heard what was voted for.
        FastLogOpenSlotTakenForOwn,
        /// A leader closes an open slot with a no-op, whatever was voted for.
        FastLogClosedWithNoop,
    }
    "Raft, beside Paxos" {
        /// A node votes for a second candidate in one term.
        RaftVotesTwice,
        /// A candidate is elected whose log lacks what a voter has.
        RaftElectsStaleLog,
        /// A follower appends entries without comparing what stands before them.
        RaftPreviousUnchecked,
        /// A leader commits entries of earlier terms by counting who holds them.
        RaftCommitsEarlierTerms,
    }
}

#[cfg(synod_mutants)]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether `mutant` is the one that is active on this thread.
    #[must_use]
    pub fn is_active(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }

    /// Makes `mutant`, or none, active on this thread.
    pub fn activate(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
    }
}

#[cfg(synod_mutants)]
pub use switch::{activate, is_active};

/// Never: this build has no mutants.
#[cfg(not(synod_mutants))]
#[inline(always)]
#[must_use]
pub const fn is_active(_: Mutant) -> bool {
    false
}
