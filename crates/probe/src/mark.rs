//! Coverage marks: how often rare paths were reached on this thread.

use std::cell::RefCell;

macro_rules! marks {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A rare path worth knowing that a test got there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mark {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Mark] = &[$(Mark::$name,)+];

            /// Its name, as written in the code.
            pub const fn name(self) -> &'static str {
                match self { $(Mark::$name => stringify!($name),)+ }
            }

            /// What was reached.
            pub const fn meaning(self) -> &'static str {
                match self { $(Mark::$name => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

marks! {
    /// A founder decided which disks make up the cluster.
    RosterDecided,
    /// A founder took over the roster that another one held.
    RosterAdopted,
    /// A disk holds its founding roster, durably.
    RosterHeld,
    /// An answer to a question of another process, or to one that was asked before another process was met.
    HelloOutOfDate,
    /// A frame came from a process that was not admitted.
    FrameOfStrangerDropped,
    /// A process runs on a disk that the roster does not name.
    StrangersDiskRefused,
    /// A process on such a disk was told so, and ended.
    StrangersDiskEnded,
    /// A process was found to run on an earlier copy of its disk when it answered.
    SetBackDiskFound,
    /// A process was found to run on an earlier copy of its disk by what the log registered after it was admitted.
    SetBackDiskFoundLater,
    /// A process on an earlier copy of its disk was told so by a member of the same roster.
    SetBackDiskRefused,
    /// A new proposer was bound to a value that somebody had voted for.
    VotedValueTakenOver,
    /// A new leader found different votes for one slot and took that of the highest ballot.
    CompetingVotesRecovered,
    /// A new leader learned from a promise that a slot above the chosen prefix is chosen.
    ChosenSlotRecovered,
    /// A new leader put a no-op into a slot that nobody had voted in.
    GapFilledWithNoop,
    /// A new leader put clients' commands into a slot that nobody had voted in.
    GapFilledWithCommands,
    /// A promise spoke of slots that are chosen and truncated.
    TruncatedSlotReported,
    /// An acceptor refused a ballot below its promise.
    LowerBallotRefused,
    /// A vote raised the promise: the acceptor had not seen this ballot's prepare.
    PromiseRaisedByAccept,
    /// A ballot was given up because others had promised a higher one.
    DuelLost,
    /// A proposer ran a ballot so that a learner may know.
    BallotRunForLearner,
    /// A leader ignored a late vote for another of its ballots.
    VoteOfOtherBallotIgnored,
    /// A value was chosen before the leader's own vote for it was durable.
    ChosenWithoutLeadersVote,
    /// A member would have promised, but said no to a pre-check because it has a happy leader.
    LeaderSavedByPreCheck,
    /// A candidate was refused in its pre-check.
    PreCheckRefused,
    /// A happy leader ran phase 1 again to get above a promise in its way.
    LeaderWentHigher,
    /// A leader that lacked chosen slots nobody near it knew ran phase 1 again.
    StrandedLeaderWentHigher,
    /// A leader stepped down for another's higher ballot.
    LeaderSteppedDown,
    /// A leader learned that another value was chosen than the one it had proposed, and gave up its ballot.
    LeaderLostBallot,
    /// A leader that was stalled made way for a healthier member.
    StalledLeaderMadeWay,
    /// A member that was stalled did not offer itself, for a healthier one was there.
    StalledMemberWaited,
    /// A leader's commit notice spoke of slots that the leader did not hold.
    NoticeBeyondHeld,
    /// A leader sent proposals again that were not answered.
    ProposalSentAgain,
    /// A leader had commands and no room for them in its window.
    WindowFull,
    /// A commit notice found a vote of another ballot, which says nothing of what was chosen.
    OtherVoteUnderCommitNotice,
    /// A member learned that another value was chosen than the one it had voted for last.
    OtherThanVotedFetched,
    /// A member asked for slots that the other had truncated.
    FetchedSlotTruncated,
    /// A read waited for slots that the leader had recovered but not yet seen chosen.
    ReadWaitedForRecoveredSlots,
    /// A read's index lay above what the leader held.
    ReadIndexBeyondHeld,
    /// A read came while a round of confirmation was under way and waited for the next.
    ReadWaitedForNextRound,
    /// A leadership ended with reads not confirmed.
    ReadsLostWithLeadership,
    /// A restarted member was sent the answer to a read of an earlier process.
    ReadAnswerOfEarlierProcess,
    /// A checkpoint of another member was installed.
    CheckpointInstalled,
    /// A checkpoint was installed by a member that held votes above it.
    CheckpointInstalledUnderVotes,
    /// A checkpoint that came was no newer than what the member had.
    OlderCheckpointIgnored,
    /// A checkpoint that came could not be used.
    CheckpointRefused,
    /// A checkpoint was complete of a slot of which another one was complete already.
    CheckpointHeldAlready,
    /// A client's write turned out to be part of an installed checkpoint, its answer lost.
    AnswerLostInCheckpoint,
    /// The source of a checkpoint replaced it, so that its transfer began anew.
    TransferStartedOver,
    /// The source of a checkpoint fell silent.
    TransferGivenUp,
    /// A submission that had been applied before came again in the log.
    RepeatedSubmissionDropped,
    /// A replica offered its protocol a submission again, of which it had heard nothing for long.
    SubmissionOfferedAgain,
    /// A submission of a process that is no longer the registered one came in the log.
    SubmissionOfOtherProcessRefused,
    /// A member applied a submission that an earlier process of its own had made.
    OutcomeOfEarlierProcess,
    /// Waiting writes were offered to another leader than before.
    WriteOfferedToNewLeader,
    /// A write was refused because too much was in flight or not yet applied.
    WriteRefusedUnderLoad,
    /// A write was refused that had not been offered to any leader in time.
    WriteNeverOffered,
    /// A candidate was not elected because its log was behind (Raft).
    StaleLogNotElected,
    /// A leader without a quorum stopped leading by itself (Raft).
    LeaderWithoutQuorumStopped,
    /// A follower's log did not hold what its leader supposed (Raft).
    LogDidNotMatch,
    /// A follower's entry gave way to another of a later leader (Raft).
    ConflictingEntryReplaced,
    /// An entry of an earlier term was on a majority and not committed for that (Raft).
    EarlierTermNotCommitted,
    /// A torn tail was cut from a journal.
    TornTailDropped,
    /// More than the last batch of a journal had to be written again at a start.
    UnprovenTailWrittenAgain,
    /// Damage inside a journal was found, and the start refused.
    DamageRefused,
    /// A journal began another segment.
    SegmentRolled,
    /// A journal went on in a full segment because nothing more could be opened.
    SegmentPutOff,
    /// A journal deleted a segment that a checkpoint covers.
    SegmentDeleted,
    /// The disk failed, and the journal stopped for good.
    JournalStopped,
    /// The disk was full.
    DiskFull,
    // ---- Fast Paxos
    /// A value was chosen by a fast quorum.
    FastPathTaken,
    /// The votes of a fast round were divided so that no value could get a fast quorum any more.
    FastCollision,
    /// A coordinator took the votes of a collided fast round for promises of the classic round behind it.
    FastCoordinatedRecovery,
    /// An acceptor voted in the fast round that recovers from a collision by itself.
    FastUncoordinatedRecovery,
    /// The fast round that recovers collided again.
    FastRecoveryCollided,
    /// Of several values of a fast round, one may have been chosen, and was picked.
    FastChoosableValuePicked,
    /// The votes of a fast round were divided so that none can have been chosen.
    FastDividedRoundFree,
    /// A fast round was slow, and its coordinator ended it with the votes there were.
    FastRoundClosedLate,
    /// A classic round was run after fast ones had failed.
    FastFellBack,
    /// A permission to vote for any value came again to an acceptor that had voted.
    FastAnyCameAgain,
    /// The loser of an open slot proposed its commands again.
    FastLogLoserProposedAgain,
    /// A leader ended a window after a slot had to be recovered.
    FastLogFellBack,
    /// A leader opened another window in the same ballot.
    FastLogWindowReopened,
    /// A leader had a no-op voted for in an open slot that nobody filled.
    FastLogOpenSlotFilled,
    /// An owner committed a command after one round trip.
    EpaxosFastPath,
    /// An owner needed a second round trip.
    EpaxosSlowPath,
    /// A recovery found votes for a command and took over those of the highest ballot.
    EpaxosVoteTakenOver,
    /// A recovery turned a command into a no-op because its owner answered without having committed it.
    EpaxosOwnerAnswered,
    /// A recovery turned a command into a no-op because too few had seen it.
    EpaxosNobodyKnew,
    /// A recovery found that nothing speaks against a command and took it over.
    EpaxosValidated,
    /// A recovery turned a command into a no-op because of what speaks against it.
    EpaxosInvalidated,
    /// A recovery waited for commands that may speak against its own.
    EpaxosWaited,
    /// A recovery that waited found that one of those speaks against its own.
    EpaxosWaitEndedAgainst,
    /// A recovery that waited found that none of those speaks against its own.
    EpaxosWaitEndedWell,
    /// A recovery that waited gave way to another that waits for it.
    EpaxosWaitYielded,
    /// A recovery that waited was decided by a late report.
    EpaxosLateReport,
    /// A replica had forgotten what speaks against a command.
    EpaxosForgottenConflict,
    /// A command waited for others of its replica before it was proposed, lest their cycle grow for ever.
    EpaxosDeferred,
    /// A command that had become a no-op was proposed again by its owner.
    EpaxosProposedAgain,
    /// Commands that depend on each other were executed together.
    EpaxosCycle,
    /// At least three commands that depend on each other were executed together.
    EpaxosCycleOfThree,
    /// A replica forgot commands that were executed.
    EpaxosCollected,
    /// A replica that was away fetched what others had committed.
    EpaxosFetched,
    /// A replica that was away for too long installed another's state.
    EpaxosStateInstalled,
    /// A state was installed that lacked what was executed here, and that was executed again.
    EpaxosExecutedAgain,
}

thread_local! {
    static HITS: RefCell<[u64; Mark::ALL.len()]> = const { RefCell::new([0; Mark::ALL.len()]) };
}

/// Counts `mark`.
pub fn hit(mark: Mark) {
    HITS.with_borrow_mut(|hits| hits[mark as usize] += 1);
}

/// How often each mark was reached on this thread since the last call.
pub fn take() -> Vec<(Mark, u64)> {
    let hits = HITS.with_borrow_mut(|hits| std::mem::replace(hits, [0; Mark::ALL.len()]));
    Mark::ALL.iter().copied().zip(hits).collect()
}
