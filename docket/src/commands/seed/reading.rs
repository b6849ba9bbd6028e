//! What the users did with what they read: sessions of some minutes, in which articles and entities are looked at.

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;

use super::articles::Article;
use super::graph::Graph;
use super::shape::{self, Dice, Part, chance, dates};

/// Sessions of each user, as a mean.
const SESSIONS: usize = 4;
/// The most things that are done in a session.
const MOST: usize = 15;

/// What somebody does with a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is shown.
    View,
    /// It is opened.
    Click,
    /// It is kept.
    Save,
    /// It is passed on.
    Share,
    /// It is looked at for so many milliseconds.
    Dwell(u32),
}

/// A thing that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// An article, by its place.
    Article(usize),
    /// An entity, by its place in the graph.
    Entity(usize),
}

/// What somebody did at one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The place of the user.
    pub user: usize,
    /// When it was over.
    pub at: DateTime<Utc>,
    /// What was done, and how long before the end.
    pub acts: Vec<(TimeDelta, Act, Thing)>,
}

/// What there is to read.
pub struct Shelf<'a> {
    articles: &'a [Article],
    /// Places of articles, by date.
    order: Vec<usize>,
    graph: &'a Graph,
}

impl<'a> Shelf<'a> {
    /// Articles and the entities of a graph.
    #[must_use]
    pub fn new(articles: &'a [Article], graph: &'a Graph) -> Self {
        let mut order: Vec<usize> = (0..articles.len()).collect();
        order.sort_by_key(|place| articles[*place].published_at);
        Self { articles, order, graph }
    }

    /// What somebody does who reads at a time; nothing if there is nothing to read yet.
    pub fn session(&self, at: DateTime<Utc>, dice: &mut Dice) -> Vec<(TimeDelta, Act, Thing)> {
        let out = self.order.partition_point(|place| self.articles[*place].published_at <= at);
        let Some(articles) = self.order.get(..out).filter(|articles| !articles.is_empty()) else { return Vec::new() };
        let wanted = dice.random_range(3..=MOST);
        let mut acts = Vec::new();
        while acts.len() < wanted {
            // Of two the newer one, and of two such the better one: good news is read most.
            let newer = |dice: &mut Dice| dice.random_range(0..out).max(dice.random_range(0..out));
            let [one, other] = [articles[newer(dice)], articles[newer(dice)]];
            let place = if self.articles[one].quality < self.articles[other].quality { other } else { one };
            self.read(place, &mut acts, dice);
        }
        acts.truncate(wanted);
        // The first one is done at the beginning.
        let minutes = i64::try_from(wanted).unwrap_or(0);
        acts.into_iter()
            .zip(0..)
            .map(|((act, thing), done)| (TimeDelta::seconds((minutes - done) * 40), act, thing))
            .collect()
    }

    fn read(&self, place: usize, acts: &mut Vec<(Act, Thing)>, dice: &mut Dice) {
        let article = Thing::Article(place);
        acts.push((Act::View, article));
        if chance(55, dice) {
            acts.push((Act::Click, article));
            acts.push((Act::Dwell(dice.random_range(4_000..240_000)), article));
            for (percent, act) in [(15, Act::Save), (6, Act::Share)] {
                if chance(percent, dice) {
                    acts.push((act, article));
                }
            }
            if let Some(entity) = self.articles[place].entities.first().filter(|_| chance(30, dice)) {
                acts.push((Act::Click, Thing::Entity(*entity)));
            }
        }
    }

    /// The entities of the graph.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        self.graph
    }
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
