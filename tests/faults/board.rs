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
/// How often one who has answered answers again, although others have not.
const AGAIN: f64 = 0.3;

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
    /// Whether somebody took it, or was given it, and nobody let it go since.
    in_hand: bool,
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
        consultations.push_front(Open { id, asker, named, answered: 0, in_hand: false });
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

    /// It came into somebody's hands, or out of them.
    pub fn hand(&self, stream: Uuid, in_hand: bool) {
        if let Some(open) = self.open().consultations.iter_mut().find(|open| open.id == stream) {
            open.in_hand = in_hand;
        }
    }

    /// One that somebody has in hand, or any when none is.
    pub fn pick_to_release(&self, rng: &mut StdRng) -> Option<Open> {
        let in_hand: Vec<Open> = self.open().consultations.iter().copied().filter(|open| open.in_hand).collect();
        if in_hand.is_empty() { self.pick(rng) } else { Some(in_hand[rng.random_range(0..in_hand.len())]) }
    }

    /// A consultation with a reviewer who answers it now: mostly for the first time, and now and then otherwise than before.
    pub fn pick_to_answer(&self, rng: &mut StdRng) -> Option<(Uuid, usize)> {
        let board = &mut self.open().consultations;
        let among = board.len().min(ANSWERED);
        let open = &mut board[(among > 0).then(|| rng.random_range(0..among))?];
        let has_answered = |reviewer: &usize| open.answered & (1 << reviewer) != 0;
        let (before, fresh): (Vec<usize>, Vec<usize>) =
            (0..REVIEWERS).filter(|reviewer| open.may_answer(*reviewer)).partition(has_answered);
        let again = !before.is_empty() && rng.random_bool(AGAIN);
        let reviewers = if again { before } else { fresh };
        let reviewer = (!reviewers.is_empty()).then(|| reviewers[rng.random_range(0..reviewers.len())])?;
        open.answered |= 1 << reviewer;
        Some((open.id, ASKERS + reviewer))
    }

    /// A question that somebody answers now: of which consultation, and of whom.
    pub fn pick_to_provide(&self, rng: &mut StdRng) -> Option<(Uuid, usize, Uuid)> {
        let questions = &mut self.open().questions;
        (!questions.is_empty()).then(|| questions.swap_remove(rng.random_range(0..questions.len())))
    }
}
