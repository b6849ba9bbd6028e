//! In which order a reader is shown articles. Pure: the same articles at the same instant come in the same order.
//!
//! `score = (0.40 · preference + 0.25 · quality + 0.20 · relevance + 0.15 · freshness) · (seen ? 0.3 : 1)`, each part from 0 to 1.

use std::{cmp::Ordering, collections::BTreeMap};

use async_graphql::SimpleObject;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::topics::Tree;

/// What each part counts for; together 1.
const PREFERENCE: f64 = 0.40;
const QUALITY: f64 = 0.25;
const RELEVANCE: f64 = 0.20;
const FRESHNESS: f64 = 0.15;
/// What was seen already counts for so much.
const SEEN: f64 = 0.3;
/// How much a reader cares for what nothing is said of.
const INDIFFERENT: f64 = 0.5;
/// After so long an article is half as fresh.
const HALF_LIFE: TimeDelta = TimeDelta::days(7);

/// What of an article is looked at.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Candidate {
    pub(super) id: Uuid,
    pub(super) topics: Vec<String>,
    pub(super) quality: f64,
    pub(super) relevance: f64,
    pub(super) published_at: DateTime<Utc>,
    /// The reader viewed it, opened it or dwelt on it.
    pub(super) seen: bool,
}

/// What the score of an article is made of, each part from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, SimpleObject, ToSchema)]
#[graphql(name = "FeedScoreParts")]
#[schema(as = FeedScoreParts)]
pub struct Parts {
    /// How much the reader cares for its topics; 0.5 where nothing is said.
    preference: f64,
    /// How well it is made.
    quality: f64,
    /// How much it matters to the organisation.
    relevance: f64,
    /// How new it is: half as much after every 7 days.
    freshness: f64,
    /// Whether the reader saw it already: the score is 0.3 times as high then.
    seen: bool,
}

impl Parts {
    fn score(&self) -> f64 {
        let whole = PREFERENCE * self.preference
            + QUALITY * self.quality
            + RELEVANCE * self.relevance
            + FRESHNESS * self.freshness;
        whole * if self.seen { SEEN } else { 1.0 }
    }
}

/// An article with its score.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranked {
    pub(super) id: Uuid,
    pub(super) score: f64,
    pub(super) parts: Parts,
}

/// The highest score first, of equal ones the highest id.
pub(super) fn order(one: (f64, Uuid), other: (f64, Uuid)) -> Ordering {
    other.0.total_cmp(&one.0).then_with(|| other.1.cmp(&one.1))
}

/// The greatest of what the reader said of the topics: of each what is said of it, or else of the nearest that it is a part of.
fn preference(topics: &[String], tree: &Tree, wanted: &BTreeMap<String, f64>) -> f64 {
    let said = topics.iter().filter_map(|topic| tree.way_up(topic).find_map(|up| wanted.get(up).copied()));
    said.reduce(f64::max).unwrap_or(INDIFFERENT)
}

/// Ranks `candidates` as they stand at `now` for a reader who said `wanted` of topics.
pub(super) fn rank(
    candidates: &[Candidate],
    tree: &Tree,
    wanted: &BTreeMap<String, f64>,
    now: DateTime<Utc>,
) -> Vec<Ranked> {
    let ranked = candidates.iter().map(|candidate| {
        // What comes out in some minutes is as fresh as can be.
        let age = (now - candidate.published_at).as_seconds_f64().max(0.0);
        let parts = Parts {
            preference: preference(&candidate.topics, tree, wanted),
            quality: candidate.quality,
            relevance: candidate.relevance,
            freshness: (-age / HALF_LIFE.as_seconds_f64()).exp2(),
            seen: candidate.seen,
        };
        Ranked { id: candidate.id, score: parts.score(), parts }
    });
    let mut ranked: Vec<Ranked> = ranked.collect();
    ranked.sort_unstable_by(|one, other| order((one.score, one.id), (other.score, other.id)));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_750_000_000, 0).unwrap()
    }

    fn candidate(n: u128, topics: &[&str]) -> Candidate {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let id = Uuid::from_u128(n);
        Candidate { id, topics, quality: 0.8, relevance: 0.5, published_at: now(), seen: false }
    }

    fn tree() -> Tree {
        Tree::of(&[("optics", Some("physics")), ("physics", Some("science")), ("science", None), ("art", None)])
    }

    fn wanted(said: &[(&str, f64)]) -> BTreeMap<String, f64> {
        said.iter().map(|(topic, weight)| ((*topic).to_owned(), *weight)).collect()
    }

    #[test]
    fn the_score_is_the_formula() {
        let week_old = Candidate { published_at: now() - TimeDelta::days(7), ..candidate(1, &["optics"]) };
        let score = |candidate: &Candidate, said: &[(&str, f64)]| {
            rank(std::slice::from_ref(candidate), &tree(), &wanted(said), now())[0].score
        };
        let expected = 0.40 * 0.9 + 0.25 * 0.8 + 0.20 * 0.5 + 0.15 * 0.5;
        assert!((score(&week_old, &[("physics", 0.9), ("science", 0.1)]) - expected).abs() < 1e-12);
        let seen = Candidate { seen: true, ..week_old.clone() };
        assert!((score(&seen, &[("physics", 0.9)]) - expected * 0.3).abs() < 1e-12);
        let ahead = Candidate { published_at: now() + TimeDelta::minutes(5), ..week_old };
        assert!((score(&ahead, &[("physics", 0.9)]) - (expected + 0.15 * 0.5)).abs() < 1e-12);
    }

    #[test]
    fn the_nearest_that_anything_is_said_of_counts_and_the_greatest_of_all_topics() {
        let said = wanted(&[("science", 0.2), ("optics", 0.0), ("art", 0.7), ("gone", 0.6)]);
        for (topics, expected) in [
            (&["optics"][..], 0.0),
            (&["physics"], 0.2),
            (&["optics", "physics"], 0.2),
            (&["physics", "art"], 0.7),
            (&["gone"], 0.6),
            (&["unheard-of"], 0.5),
            (&["unheard-of", "optics"], 0.0),
            (&[], 0.5),
        ] {
            let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
            assert_eq!(preference(&topics, &tree(), &said), expected, "{topics:?}");
        }
    }

    #[test]
    fn equal_scores_are_in_the_order_of_ids() {
        let candidates: Vec<Candidate> = (1..=3).map(|n| candidate(n, &[])).collect();
        let ranked = rank(&candidates, &tree(), &BTreeMap::new(), now());
        assert_eq!(ranked.iter().map(|ranked| ranked.id.as_u128()).collect::<Vec<_>>(), [3, 2, 1]);
    }
}
