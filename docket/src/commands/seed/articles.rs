//! What there is to read: articles on a small tree of topics, about entities of the graph.

use chrono::{DateTime, Utc};
use rand::RngExt;

use super::entities::Kind;
use super::graph::Graph;
use super::shape::{self, Dice, Part, chance, dates, dealt, few, one, qualities};

/// A topic, by the word that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// The word.
    pub word: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// The topic that it is a part of.
    pub parent: Option<&'static str>,
}

macro_rules! topics {
    ($($word:literal $name:literal $(in $parent:literal)?;)+) => {
        /// The topics, each behind the one that it is a part of.
        pub const TOPICS: &[Topic] = &[$(Topic { word: $word, name: $name, parent: topics!(@ $($parent)?) }),+];
    };
    (@) => { None };
    (@ $parent:literal) => { Some($parent) };
}

topics! {
    "technology" "Technology";
    "software" "Software" in "technology";
    "machine-learning" "Machine learning" in "software";
    "security" "Security" in "software";
    "hardware" "Hardware" in "technology";
    "energy" "Energy";
    "storage" "Storage" in "energy";
    "grids" "Grids" in "energy";
    "health" "Health";
    "diagnostics" "Diagnostics" in "health";
    "care" "Care" in "health";
    "finance" "Finance";
    "markets" "Markets" in "finance";
    "insurance" "Insurance" in "finance";
    "law" "Law";
    "regulation" "Regulation" in "law";
    "privacy" "Privacy" in "law";
    "supply" "Supply";
    "transport" "Transport" in "supply";
    "materials" "Materials" in "supply";
}

/// What kinds of text there are, in a hundred.
const CONTENT_TYPES: [(u32, &str); 5] =
    [(40, "news"), (25, "report"), (15, "analysis"), (10, "paper"), (10, "interview")];

/// How many entities an article is about at most.
const ENTITIES: usize = 5;

/// An article that is to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Article {
    /// What it is called.
    pub title: String,
    /// What it says, in a sentence or two.
    pub summary: String,
    /// What it says, in some paragraphs.
    pub body: String,
    /// What kind of text it is.
    pub content_type: &'static str,
    /// How well it is made.
    pub quality: f64,
    /// How much it matters.
    pub relevance: f64,
    /// What it is about, by places in [`TOPICS`].
    pub topics: Vec<usize>,
    /// Whom and what it is about, by places in the graph; all of them were known when it came out.
    pub entities: Vec<usize>,
    /// When it came out.
    pub published_at: DateTime<Utc>,
}

/// The articles of a seed, about a graph, that came out before `until`.
#[must_use]
pub fn articles(seed: u64, until: DateTime<Utc>, count: usize, graph: &Graph) -> Vec<Article> {
    let mut dice = shape::dice(seed, Part::Articles);
    let dates = dates(count, until, &mut dice);
    let (quality, relevance) = (qualities(count, &mut dice), qualities(count, &mut dice));
    let types = dealt(count, CONTENT_TYPES, &mut dice);
    let known = Known::new(graph);
    let parts = dates.into_iter().zip(quality).zip(relevance).zip(types);
    parts
        .map(|(((published_at, quality), relevance), content_type)| {
            let topics = few(TOPICS.len(), 3, &mut dice);
            let entities = known.some(published_at, &mut dice);
            let text = Text { graph, topics: &topics, entities: &entities };
            let (title, summary, body) = (text.title(&mut dice), text.summary(&mut dice), text.body(&mut dice));
            Article { title, summary, body, content_type, quality, relevance, topics, entities, published_at }
        })
        .collect()
}

/// The entities in the order in which they became known.
struct Known<'a> {
    graph: &'a Graph,
    order: Vec<usize>,
}

impl<'a> Known<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut order: Vec<usize> = (0..graph.entities.len()).collect();
        order.sort_by_key(|place| graph.entities[*place].at);
        Self { graph, order }
    }

    /// Some that were known then; what has been known for long is written about more.
    fn some(&self, at: DateTime<Utc>, dice: &mut Dice) -> Vec<usize> {
        let known = self.order.partition_point(|place| self.graph.entities[*place].at <= at);
        if known == 0 {
            return Vec::new();
        }
        let well_known = (known / 20).max(1);
        let among = if chance(50, dice) { well_known } else { known };
        few(among, ENTITIES, dice).into_iter().map(|rank| self.order[rank]).collect()
    }
}

/// What an article is made of.
struct Text<'a> {
    graph: &'a Graph,
    topics: &'a [usize],
    entities: &'a [usize],
}

const CHANGES: &[&str] = &[
    "changes course on",
    "expands its work on",
    "publishes figures on",
    "reviews its plans for",
    "puts off a decision on",
    "takes up",
    "asks for a second opinion on",
    "closes its trial of",
    "sets limits to",
    "answers questions on",
];

const OPENINGS: &[&str] = &[
    "The decision had been expected for weeks.",
    "Nothing of this had been announced.",
    "The documents were made public on the same day.",
    "It is the second change within a quarter.",
    "Those involved call it a first step.",
];

const MIDDLES: &[&str] = &[
    "Costs are put at {n} thousand a year, a tenth less than before.",
    "A trial with {n} participants comes first; its results are due before the end of the year.",
    "Of {n} answers that came in, two thirds were in favour.",
    "The figures go back to {n} measurements, which were checked by others.",
    "Whoever is affected has {n} days to object.",
    "Reviewers had asked for {n} changes, and most of them were made.",
];

const ENDINGS: &[&str] = &[
    "Whether it holds will show when the first results are in.",
    "A review is to follow.",
    "What it means for others is open.",
    "The next decision is due in the coming month.",
    "Critics ask for more evidence.",
];

impl Text<'_> {
    fn topic(&self, dice: &mut Dice) -> String {
        TOPICS[one(self.topics, dice)].name.to_lowercase()
    }

    fn named(&self, dice: &mut Dice) -> &str {
        match self.entities {
            [] => "An industry",
            some => &self.graph.entities[one(some, dice)].facts.name,
        }
    }

    fn title(&self, dice: &mut Dice) -> String {
        // Organisations and people do something; of other things something is said.
        let acts = |place: &&usize| matches!(self.graph.entities[**place].kind, Kind::Organisation | Kind::Person);
        let who = self.entities.iter().find(acts);
        let topic = self.topic(dice);
        match who {
            Some(who) => format!("{} {} {topic}", self.graph.entities[*who].facts.name, one(CHANGES, dice)),
            None => format!("What {} means for {topic}", self.named(dice)),
        }
    }

    fn summary(&self, dice: &mut Dice) -> String {
        format!("A text on {} and {}. {}", self.topic(dice), self.named(dice), one(ENDINGS, dice))
    }

    fn body(&self, dice: &mut Dice) -> String {
        let paragraphs = dice.random_range(3..=6);
        let paragraphs: Vec<String> = (0..paragraphs).map(|_| self.paragraph(dice)).collect();
        paragraphs.join("\n\n")
    }

    fn paragraph(&self, dice: &mut Dice) -> String {
        let mut sentences = vec![one(OPENINGS, dice).to_owned()];
        for _ in 0..dice.random_range(1..=3) {
            sentences.push(one(MIDDLES, dice).replace("{n}", &dice.random_range(12..900).to_string()));
            sentences.push(format!("In {}, {} plays a part in it.", self.topic(dice), self.named(dice)));
        }
        sentences.push(one(ENDINGS, dice).to_owned());
        sentences.join(" ")
    }
}
