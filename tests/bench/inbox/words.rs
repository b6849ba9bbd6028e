//! Made-up words, used like those of a language: a few often, most rarely.

use std::fmt::Write;

use anyhow::Result;
use rand::{
    RngExt,
    distr::{Distribution, weighted::WeightedIndex},
    rngs::StdRng,
};

/// How many words are written.
pub const WORDS: usize = 20_000;
/// How many labels there are.
pub const LABELS: usize = 200;

const CONSONANTS: &[u8] = b"bdfghklmnprstvz";
const VOWELS: &[u8] = b"ao";
const SYLLABLES: usize = CONSONANTS.len() * VOWELS.len();
const POSSIBLE: usize = SYLLABLES.pow(3);
/// Without a common divisor with the number of possible words: those that are used alike do not begin alike.
const STEP: usize = 7_919;

/// The word at place `rank`, 0 the most frequent; from [`WORDS`] on it is one that nobody wrote. All are of one length, so that none
/// begins another.
pub fn word(rank: usize) -> String {
    let mut code = rank * STEP % POSSIBLE;
    let mut word = String::with_capacity(6);
    for _ in 0..3 {
        let syllable = code % SYLLABLES;
        word.push(char::from(CONSONANTS[syllable / VOWELS.len()]));
        word.push(char::from(VOWELS[syllable % VOWELS.len()]));
        code /= SYLLABLES;
    }
    word
}

/// The label at place `rank`, 0 the most frequent.
pub fn label(rank: usize) -> String {
    format!("label-{rank:03}")
}

/// Which words and labels are taken: the one at rank r as often as 1/r (Zipf).
pub struct Vocabulary {
    words: Vec<String>,
    word_at: WeightedIndex<f64>,
    label_at: WeightedIndex<f64>,
}

impl Vocabulary {
    pub fn new() -> Result<Self> {
        let zipf = |count: usize| WeightedIndex::new((1..=count).map(|rank| 1.0 / rank as f64));
        Ok(Self { words: (0..WORDS).map(word).collect(), word_at: zipf(WORDS)?, label_at: zipf(LABELS)? })
    }

    /// A text of `least` to `most` words.
    pub fn text(&self, rng: &mut StdRng, least: usize, most: usize) -> String {
        let count = rng.random_range(least..=most);
        let mut text = String::with_capacity(count * 7);
        for n in 0..count {
            let space = if n == 0 { "" } else { " " };
            // Writing to a string does not fail.
            let _ = write!(text, "{space}{}", self.words[self.word_at.sample(rng)]);
        }
        text
    }

    /// One to three labels.
    pub fn labels(&self, rng: &mut StdRng) -> Vec<String> {
        let count = rng.random_range(1..=3);
        let mut ranks: Vec<usize> = Vec::with_capacity(count);
        while ranks.len() < count {
            let rank = self.label_at.sample(rng);
            if !ranks.contains(&rank) {
                ranks.push(rank);
            }
        }
        ranks.into_iter().map(label).collect()
    }
}
