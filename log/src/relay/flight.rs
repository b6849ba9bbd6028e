//! What is on its way of one shard: sent, acknowledged, marked.

use std::collections::BTreeSet;

/// A shard that is being published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flight {
    /// The mark as we left it.
    pub(crate) marked: u64,
    /// All up to here is acknowledged.
    pub(crate) acked: u64,
    /// All up to here is sent.
    pub(crate) sent: u64,
    /// What was sent last may be refused: nothing goes after it before it is acknowledged.
    pub(crate) alone: bool,
    /// Acknowledged ahead of something that is not yet.
    early: BTreeSet<u64>,
}

impl Flight {
    /// Goes on behind `acked`; `marked` is where the mark stands.
    pub(crate) const fn resume(marked: u64, acked: u64) -> Self {
        Self { marked, acked, sent: acked, alone: false, early: BTreeSet::new() }
    }

    /// Takes an acknowledgement, in whatever order they come. The mark moves over contiguous ones only.
    pub(crate) fn acknowledge(&mut self, sequence: u64) {
        if sequence != self.acked + 1 {
            if sequence > self.acked {
                self.early.insert(sequence);
            }
            return;
        }
        self.acked = sequence;
        while self.early.remove(&(self.acked + 1)) {
            self.acked += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_contiguous_acknowledgements_count() {
        let mut flight = Flight::resume(4, 4);
        for (sequence, acked) in [(6, 4), (7, 4), (5, 7), (5, 7), (9, 7), (8, 9)] {
            flight.acknowledge(sequence);
            assert_eq!(flight.acked, acked, "after {sequence}");
        }
    }
}
