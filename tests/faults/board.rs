//! The board: what clients know of each other's consultations.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use rand::{RngExt, rngs::StdRng};
use uuid::Uuid;

use crate::people::{ASKERS, REVIEWERS};

/// Consultations that clients remember.
const REMEMBERED: usize = 150;
/// Consultations that most commands go to: these streams are contended.
const SHARED: usize = 6;
/// Among how many of the newest one is answered.
const ANSWERED: usize = 40;
/// How often one who has answered answers again.
const AGAIN: f64 = 0.4;

/// A consultation that clients know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Which.
    pub id: Uuid,
    /// Who asked.
    pub asker: usize,
    /// The reviewers who are named, a bit each; none: all.
    named: u8,
    /// Who has answered it, a bit each.
    answered: u8,
}

impl Open {
    /// Whether this reviewer may answer, as it was asked.
    pub const fn may_answer(&self, reviewer: usize) -> bool {
        self.named == 0 || self.named & (1 << reviewer) != 0
    }
}

/// What clients know of each other's consultations.
#[derive(Debug, Default)]
pub struct Board(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The newest first.
    consultations: VecDeque<Open>,
    /// Questions that nobody has answered yet: of which consultation, and of whom.
    questions: Vec<(Uuid, usize, Uuid)>,
}

impl Board {
    fn open(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A consultation was asked.
    pub fn add(&self, id: Uuid, asker: usize, named: u8) {
        let consultations = &mut self.open().consultations;
        consultations.push_front(Open { id, asker, named, answered: 0 });
        consultations.truncate(REMEMBERED);
    }

    /// A question was asked; its answer is wanted.
    pub fn ask_back(&self, stream: Uuid, question: Uuid) {
        let mut known = self.open();
        let asker = known.consultations.iter().find(|open| open.id == stream).map(|open| open.asker);
        known.questions.extend(asker.map(|asker| (stream, asker, question)));
    }

    /// A consultation, mostly one of the newest.
    pub fn pick(&self, rng: &mut StdRng) -> Option<Open> {
        let board = &self.open().consultations;
        let among = if rng.random_bool(0.5) { SHARED.min(board.len()) } else { board.len() };
        (among > 0).then(|| board[rng.random_range(0..among)])
    }

    /// A consultation with a reviewer who answers it now: for the first time if there is one, and now and then once more.
    pub fn pick_to_answer(&self, rng: &mut StdRng) -> Option<(Uuid, usize)> {
        let board = &mut self.open().consultations;
        let among = board.len().min(ANSWERED);
        let open = &mut board[(among > 0).then(|| rng.random_range(0..among))?];
        let may = |open: &Open, reviewer: &usize| open.may_answer(*reviewer);
        let fresh = (0..REVIEWERS).find(|reviewer| may(open, reviewer) && open.answered & (1 << reviewer) == 0);
        let again = rng.random_bool(AGAIN).then(|| rng.random_range(0..REVIEWERS));
        let reviewer = fresh.or(again)?;
        open.answered |= 1 << reviewer;
        Some((open.id, ASKERS + reviewer))
    }

    /// A question that somebody answers now: of which consultation, and of whom.
    pub fn pick_to_provide(&self, rng: &mut StdRng) -> Option<(Uuid, usize, Uuid)> {
        let questions = &mut self.open().questions;
        (!questions.is_empty()).then(|| questions.swap_remove(rng.random_range(0..questions.len())))
    }
}
