//! Order: which of the events that were read may be applied.
//!
//! Owns the rule of P2: in sequence, nothing twice, nothing past a gap. Pure; it must not fetch what is missing.

use docket_events::Recorded;
use docket_log::faults::{self, Bug};
use uuid::Uuid;

/// What was wrong with the order of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disorder {
    /// An event is ahead of the expected sequence.
    Gap {
        /// The sequence that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// Another event stands under a sequence that was seen already: the log is not the log it was.
    Forked {
        /// The sequence.
        sequence: u64,
        /// The event that was seen first.
        first: Uuid,
        /// The event that stands there now.
        other: Uuid,
    },
}

/// What may be applied of one shard.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// In sequence, from right behind the checkpoint.
    pub(crate) events: Vec<Recorded>,
    /// Why it ended early.
    pub(crate) disorder: Option<Disorder>,
    /// What stands behind a gap.
    pub(crate) aside: Vec<Recorded>,
}

/// Takes from `events` of one shard what follows `behind`, up to `up_to`; `last` is the event known to stand at `behind`.
pub(crate) fn admit(behind: u64, last: Option<Uuid>, up_to: u64, events: Vec<Recorded>) -> Admitted {
    let mut admitted = Admitted { events: Vec::with_capacity(events.len()), disorder: None, aside: Vec::new() };
    let (mut at, mut last) = (behind, last);
    let mut rest = events.into_iter();
    while let Some(event) = rest.next() {
        if event.sequence > up_to {
            break;
        }
        if event.sequence <= at {
            match last {
                Some(first) if event.sequence == at && first != event.id => {
                    admitted.disorder = Some(Disorder::Forked { sequence: at, first, other: event.id });
                    break;
                }
                _ => continue,
            }
        }
        if event.sequence > at + 1 && !faults::has(Bug::ReadPastGap) {
            admitted.disorder = Some(Disorder::Gap { expected: at + 1, found: event.sequence });
            admitted.aside.push(event);
            admitted.aside.extend(rest);
            break;
        }
        at = event.sequence;
        last = Some(event.id);
        admitted.events.push(event);
    }
    admitted
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use docket_events::{Category, StreamId};

    use super::*;

    fn event(sequence: u64, id: u128) -> Recorded {
        Recorded {
            stream: StreamId::new(Category::Consultation, Uuid::nil()),
            shard: 0,
            sequence,
            version: sequence,
            id: Uuid::from_u128(id),
            event_type: String::new(),
            tenant: Uuid::nil(),
            time: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
            data: String::new(),
            meta: String::new(),
        }
    }

    fn admitted(behind: u64, last: Option<u128>, events: &[(u64, u128)]) -> (Vec<u64>, Option<Disorder>) {
        let events = events.iter().map(|(sequence, id)| event(*sequence, *id)).collect();
        let admitted = admit(behind, last.map(Uuid::from_u128), u64::MAX, events);
        (admitted.events.iter().map(|event| event.sequence).collect(), admitted.disorder)
    }

    #[test]
    fn a_repeated_sequence_is_dropped() {
        assert_eq!(admitted(3, Some(3), &[(2, 2), (3, 3), (4, 4), (4, 4), (5, 5)]), (vec![4, 5], None));
        assert_eq!(admitted(3, None, &[(3, 9), (4, 4)]), (vec![4], None), "what was not seen cannot be compared");
    }

    #[test]
    fn another_event_under_a_known_sequence_ends_it() {
        let forked = |sequence, first, other| {
            Some(Disorder::Forked { sequence, first: Uuid::from_u128(first), other: Uuid::from_u128(other) })
        };
        assert_eq!(admitted(3, Some(3), &[(3, 7), (4, 4)]), (vec![], forked(3, 3, 7)));
        assert_eq!(admitted(3, Some(3), &[(4, 4), (4, 8), (5, 5)]), (vec![4], forked(4, 4, 8)));
    }

    #[test]
    fn nothing_past_a_gap_is_taken() {
        let gap = Some(Disorder::Gap { expected: 5, found: 7 });
        assert_eq!(admitted(3, None, &[(4, 4), (7, 7), (8, 8)]), (vec![4], gap));
        let aside = admit(3, None, u64::MAX, vec![event(4, 4), event(7, 7), event(8, 8)]).aside;
        assert_eq!(
            aside.iter().map(|event| event.sequence).collect::<Vec<_>>(),
            [7, 8],
            "kept for when the gap is closed"
        );
    }

    #[test]
    fn what_others_have_not_reached_is_left() {
        let admitted = admit(0, None, 2, vec![event(1, 1), event(2, 2), event(3, 3)]);
        assert_eq!(admitted.events.len(), 2);
    }
}
