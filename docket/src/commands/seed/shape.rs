//! How things are distributed: the dice, shares that are kept exactly, dates and qualities.
//!
//! Pure: the same seed gives the same numbers on every machine. Shares are dealt like cards instead of being thrown, so that they hold at
//! every size, as near as whole things allow.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// The dice: numbers that a seed alone decides.
pub type Dice = ChaCha12Rng;

/// What is made. Each has numbers of its own, so that more of one thing changes nothing of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Who is there.
    People = 1,
    /// What the organisation knows of.
    Entities = 2,
    /// How it is related.
    Relationships = 3,
    /// What there is to read.
    Articles = 4,
    /// What was read.
    Reading = 5,
    /// What users care for.
    Preferences = 6,
    /// What goes on.
    Live = 7,
}

/// The dice of a part.
#[must_use]
pub fn dice(seed: u64, part: Part) -> Dice {
    let mut dice = Dice::seed_from_u64(seed);
    dice.set_stream(part as u64);
    dice
}

const DAY: i64 = 24 * 60 * 60;

/// How old things are when the last day begins.
const AGES: [(u32, (i64, i64)); 3] =
    [(80, (1, 30 * DAY)), (15, (30 * DAY + 1, 90 * DAY)), (5, (90 * DAY + 1, 2 * 365 * DAY))];

/// How good things are, in thousandths.
const QUALITIES: [(u32, (u32, u32)); 3] = [(60, (700, 1000)), (30, (400, 699)), (10, (50, 399))];

/// How many of `count` each part gets by its share: the whole numbers that are nearest.
#[must_use]
pub fn apportioned<const N: usize>(count: usize, shares: [u32; N]) -> [usize; N] {
    let all = shares.iter().map(|share| *share as usize).sum::<usize>().max(1);
    let mut counts = shares.map(|share| count * share as usize / all);
    let left = count - counts.iter().sum::<usize>();
    let mut order: [usize; N] = std::array::from_fn(|part| part);
    order.sort_by_key(|part| Reverse(count * shares[*part] as usize % all));
    for part in order.into_iter().take(left) {
        counts[part] += 1;
    }
    counts
}

/// `count` values by their shares, in an order that the dice decide.
#[must_use]
pub fn dealt<T: Copy, const N: usize>(count: usize, shares: [(u32, T); N], dice: &mut Dice) -> Vec<T> {
    let counts = apportioned(count, shares.map(|(share, _)| share));
    let mut values: Vec<T> =
        shares.iter().zip(counts).flat_map(|((_, value), count)| std::iter::repeat_n(*value, count)).collect();
    values.shuffle(dice);
    values
}

/// `count` dates before `until`: 80 % within 30 days, 15 % within 90, the rest within two years.
#[must_use]
pub fn dates(count: usize, until: DateTime<Utc>, dice: &mut Dice) -> Vec<DateTime<Utc>> {
    let bands = dealt(count, AGES, dice);
    bands.into_iter().map(|(from, to)| until - TimeDelta::seconds(dice.random_range(from..=to))).collect()
}

/// `date`, or `earliest` if that is later, unless it counts as another age: then the shares go first.
#[must_use]
pub fn not_before(earliest: DateTime<Utc>, date: DateTime<Utc>, until: DateTime<Utc>) -> DateTime<Utc> {
    let band = |date: DateTime<Utc>| AGES.iter().position(|(_, (_, to))| (until - date).num_seconds() <= *to);
    if earliest > date && band(earliest) == band(date) { earliest } else { date }
}

/// `count` qualities: 60 % from 0.7 to 1, 30 % from 0.4 to below 0.7, the rest below.
#[must_use]
pub fn qualities(count: usize, dice: &mut Dice) -> Vec<f64> {
    let bands = dealt(count, QUALITIES, dice);
    bands.into_iter().map(|(from, to)| f64::from(dice.random_range(from..=to)) / 1000.0).collect()
}

/// One of them.
///
/// # Panics
/// When there is none.
pub fn one<T: Copy>(of: &[T], dice: &mut Dice) -> T {
    of[dice.random_range(0..of.len())]
}

/// One to `most` different places of `count`.
pub fn few(count: usize, most: usize, dice: &mut Dice) -> Vec<usize> {
    let mut found = Vec::new();
    for _ in 0..dice.random_range(1..=most) {
        let thrown = dice.random_range(0..count);
        if !found.contains(&thrown) {
            found.push(thrown);
        }
    }
    found
}

/// Whether something happens that does in so many of a hundred cases.
pub fn chance(percent: u32, dice: &mut Dice) -> bool {
    dice.random_range(0..100) < percent
}
