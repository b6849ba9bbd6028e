//! The comparison of a topic's end with the journal: may the relay go on, from where, or must somebody look?
//!
//! Pure. RELIABILITY: a broker may lose its tail (one copy, no fsync), and PostgreSQL may be restored to a time before what Kafka
//! already has. The first is healed by publishing again, the second is never healed by publishing.

use std::fmt;

use uuid::Uuid;

use crate::{
    faults::{self, Bug},
    kafka::Last,
};

/// What is known of one shard, the topic looked at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// The topic's last event.
    pub topic: Option<Last>,
    /// The offset behind the topic's last message.
    pub end: u64,
    /// The mark: all up to here was acknowledged.
    pub mark: u64,
    /// The journal's last sequence.
    pub journal: u64,
    /// The journal's event under the topic's last sequence.
    pub journal_id: Option<Uuid>,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Topic and journal agree: all behind `acked` is to be published.
    Agree {
        /// The sequence up to which nothing need be sent again.
        acked: u64,
    },
    /// The topic has less than was acknowledged: all behind `has` is to be published again.
    Lost {
        /// The topic's last sequence.
        has: u64,
    },
    /// Nothing may be published.
    Diverged(Divergence),
}

/// How topic and journal contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divergence {
    /// The topic holds events that the journal does not have.
    Ahead {
        /// The topic's last sequence.
        topic: u64,
        /// The journal's.
        journal: u64,
    },
    /// The journal holds another event under the topic's last sequence.
    Forked {
        /// That sequence.
        sequence: u64,
        /// The event in the topic.
        topic: Uuid,
        /// The event in the journal.
        journal: Option<Uuid>,
    },
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead { topic, journal } => {
                write!(
                    f,
                    "the topic ends with sequence {topic} and the journal with {journal}: PostgreSQL seems to have been restored"
                )
            }
            Self::Forked { sequence, .. } => {
                write!(
                    f,
                    "topic and journal hold different events under sequence {sequence}: PostgreSQL seems to have been restored"
                )
            }
        }
    }
}

/// Judges one shard.
#[must_use]
pub fn judge(sight: Sight) -> Judgement {
    if faults::has(Bug::ResumeAtTail) {
        return Judgement::Agree { acked: sight.journal };
    }
    let Some(last) = sight.topic else {
        return if sight.mark == 0 { Judgement::Agree { acked: 0 } } else { Judgement::Lost { has: 0 } };
    };
    if faults::has(Bug::SkipIdComparison) {
        return Judgement::Agree { acked: sight.mark.min(last.sequence) };
    }
    if last.sequence > sight.journal {
        return Judgement::Diverged(Divergence::Ahead { topic: last.sequence, journal: sight.journal });
    }
    if sight.journal_id != Some(last.id) {
        let (sequence, topic, journal) = (last.sequence, last.id, sight.journal_id);
        return Judgement::Diverged(Divergence::Forked { sequence, topic, journal });
    }
    // Each sequence has a message of its own: a topic that was emptied and went on with later events is too short for what is marked.
    if last.sequence.min(sight.mark) > sight.end {
        return Judgement::Lost { has: 0 };
    }
    if last.sequence < sight.mark {
        return Judgement::Lost { has: last.sequence };
    }
    // min(published, tail): what stands behind the mark may be there, and is sent again; readers drop it.
    Judgement::Agree { acked: sight.mark }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(1);

    fn sight(topic: Option<u64>, mark: u64, journal: u64) -> Sight {
        let topic = topic.map(|sequence| Last { sequence, id: ID });
        Sight { topic, end: 100, mark, journal, journal_id: Some(ID) }
    }

    #[test]
    fn an_empty_topic_is_filled_from_the_beginning() {
        assert_eq!(judge(sight(None, 0, 10)), Judgement::Agree { acked: 0 });
        assert_eq!(judge(sight(None, 7, 10)), Judgement::Lost { has: 0 });
    }

    #[test]
    fn what_is_behind_the_mark_is_sent_again_and_nothing_is_left_out() {
        assert_eq!(judge(sight(Some(9), 7, 10)), Judgement::Agree { acked: 7 });
        assert_eq!(judge(sight(Some(7), 7, 10)), Judgement::Agree { acked: 7 });
        assert_eq!(judge(sight(Some(5), 7, 10)), Judgement::Lost { has: 5 });
    }

    #[test]
    fn a_topic_that_lacks_what_stood_before_its_end_is_filled_from_the_beginning() {
        let emptied = Sight { end: 1, ..sight(Some(9), 9, 10) };
        assert_eq!(judge(emptied), Judgement::Lost { has: 0 });
        assert_eq!(judge(Sight { end: 9, ..emptied }), Judgement::Agree { acked: 9 });
        let gap_behind_the_mark = Sight { end: 3, ..sight(Some(4), 2, 10) };
        assert_eq!(judge(gap_behind_the_mark), Judgement::Agree { acked: 2 });
    }

    #[test]
    fn a_restored_journal_halts() {
        let ahead = Divergence::Ahead { topic: 11, journal: 10 };
        assert_eq!(judge(sight(Some(11), 7, 10)), Judgement::Diverged(ahead));
        let other = Sight { journal_id: Some(Uuid::from_u128(2)), ..sight(Some(9), 9, 10) };
        assert!(matches!(judge(other), Judgement::Diverged(Divergence::Forked { sequence: 9, .. })));
    }
}
