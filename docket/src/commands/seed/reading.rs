//! What the users did with what they read: sessions of some minutes, in which articles and entities are looked at.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::engagement::Action;
use rand::RngExt;

use super::articles::{Article, TOPICS};
use super::shape::{self, Dice, Part, chance, dates, few};

/// Sessions of each user, as a mean.
const SESSIONS: usize = 4;
/// The most things that are done in a session.
const MOST: usize = 15;
/// The time between two of them.
const PACE: TimeDelta = TimeDelta::seconds(40);
/// The most topics that somebody says to care for.
const CARES: usize = 6;

/// A thing that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// An article, by its place.
    Article(usize),
    /// An entity, by its place in the graph.
    Entity(usize),
}

/// What somebody did with a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    /// How long before the end of the session.
    pub before: TimeDelta,
    /// What.
    pub action: Action,
    /// With what.
    pub thing: Thing,
    /// For how long, in milliseconds; of a dwell alone.
    pub dwell_ms: Option<u32>,
}

/// What somebody did at one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The place of the user.
    pub user: usize,
    /// When it was over.
    pub at: DateTime<Utc>,
    /// What was done, in order.
    pub acts: Vec<Act>,
}

/// What there is to read.
pub struct Shelf<'a> {
    articles: &'a [Article],
    /// Places of articles, by date.
    order: Vec<usize>,
}

impl<'a> Shelf<'a> {
    /// Articles, and the entities that they are about.
    #[must_use]
    pub fn new(articles: &'a [Article]) -> Self {
        let mut order: Vec<usize> = (0..articles.len()).collect();
        order.sort_by_key(|place| articles[*place].published_at);
        Self { articles, order }
    }

    /// The place of an article about the entity of this place; none: there is none.
    pub fn about(&self, entity: usize) -> Option<usize> {
        self.order.iter().rev().copied().find(|place| self.articles[*place].entities.contains(&entity))
    }

    /// What somebody does who reads until a time; nothing if nothing is out yet.
    pub fn session(&self, at: DateTime<Utc>, dice: &mut Dice) -> Vec<Act> {
        let out = self.order.partition_point(|place| self.articles[*place].published_at <= at);
        let articles = &self.order[..out];
        if articles.is_empty() {
            return Vec::new();
        }
        let wanted = dice.random_range(3..=MOST);
        let mut acts = Vec::new();
        while acts.len() < wanted {
            // Of two the newer one, and of two such the better one: good news is read most.
            let newer = |dice: &mut Dice| dice.random_range(0..out).max(dice.random_range(0..out));
            let [place, other] = [articles[newer(dice)], articles[newer(dice)]];
            let better = if self.articles[place].quality < self.articles[other].quality { other } else { place };
            self.read(better, &mut acts, dice);
        }
        acts.truncate(wanted);
        for (act, left) in acts.iter_mut().rev().zip(1..) {
            act.before = PACE * left;
        }
        acts
    }

    fn read(&self, place: usize, acts: &mut Vec<Act>, dice: &mut Dice) {
        let act = |action, thing| Act { before: TimeDelta::zero(), action, thing, dwell_ms: None };
        let article = Thing::Article(place);
        acts.push(act(Action::View, article));
        if !chance(55, dice) {
            return;
        }
        acts.push(act(Action::Click, article));
        acts.push(Act { dwell_ms: Some(dice.random_range(4_000..240_000)), ..act(Action::Dwell, article) });
        for (percent, action) in [(15, Action::Save), (6, Action::Share)] {
            if chance(percent, dice) {
                acts.push(act(action, article));
            }
        }
        if let Some(entity) = self.articles[place].entities.first().filter(|_| chance(30, dice)) {
            acts.push(act(Action::Click, Thing::Entity(*entity)));
        }
    }
}

/// What a user cares for.
#[derive(Debug, Clone, PartialEq)]
pub struct Cares {
    /// When it was said.
    pub at: DateTime<Utc>,
    /// How much, from 0 to 1, by topic.
    pub topics: BTreeMap<String, f64>,
}

/// What a seed's users care for, said before `until`.
#[must_use]
pub fn cares(seed: u64, until: DateTime<Utc>, users: usize) -> Vec<Cares> {
    let mut dice = shape::dice(seed, Part::Preferences);
    let dates = dates(users, until, &mut dice);
    let of_each = dates.into_iter().map(|at| {
        let topics = few(TOPICS.len(), CARES, &mut dice);
        let cares = topics
            .into_iter()
            .map(|place| (TOPICS[place].word.to_owned(), f64::from(dice.random_range(0..=20_u8)) / 20.0));
        Cares { at, topics: cares.collect() }
    });
    of_each.collect()
}

/// The sessions of a seed's users before `until`.
#[must_use]
pub fn sessions(seed: u64, until: DateTime<Utc>, users: usize, shelf: &Shelf<'_>) -> Vec<Session> {
    let mut dice = shape::dice(seed, Part::Reading);
    let dates = dates(users * SESSIONS, until, &mut dice);
    let mut sessions = Vec::new();
    for at in dates {
        let user = dice.random_range(0..users);
        let acts = shelf.session(at, &mut dice);
        if !acts.is_empty() {
            sessions.push(Session { user, at, acts });
        }
    }
    sessions
}
