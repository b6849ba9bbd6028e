//! The shares of what is made, measured on the result.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use docket_events::engagement::Action;
use docket_events::identity::Role;

use super::articles::{Article, TOPICS, articles};
use super::entities::Kind;
use super::graph::{Graph, HUB, graph, most};
use super::people::people;
use super::reading::{Shelf, Thing, cares, sessions};
use super::*;

/// As the README has it.
const ENTITIES: usize = 10_000;
const RELATIONSHIPS: usize = 50_000;
const ARTICLES: usize = 1_000;

fn until() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().expect("a time")
}

fn seeded(seed: u64) -> Graph {
    graph(seed, until(), ENTITIES, RELATIONSHIPS)
}

/// Which part of them is so.
fn share<T>(of: &[T], is_so: impl Fn(&T) -> bool) -> f64 {
    of.iter().filter(|one| is_so(one)).count() as f64 / of.len() as f64
}

fn assert_near(what: &str, share: f64, wanted: f64, tolerance: f64) {
    assert!((share - wanted).abs() <= tolerance, "{what}: {share} instead of {wanted}");
}

fn assert_dates(what: &str, dates: &[DateTime<Utc>]) {
    let days = |date: &DateTime<Utc>| (until() - *date).num_seconds() as f64 / 86_400.0;
    assert!(dates.iter().all(|date| days(date) > 0.0), "{what}: all of it lies in the past");
    assert_near(what, share(dates, |date| days(date) <= 30.0), 0.80, 0.01);
    assert_near(what, share(dates, |date| days(date) > 30.0 && days(date) <= 90.0), 0.15, 0.01);
    assert_near(what, share(dates, |date| days(date) > 90.0), 0.05, 0.01);
    assert!(dates.iter().collect::<HashSet<_>>().len() > dates.len() / 2, "{what}: they differ");
}

fn assert_qualities(what: &str, qualities: &[f64]) {
    assert!(qualities.iter().all(|quality| (0.0..=1.0).contains(quality)));
    assert_near(what, share(qualities, |quality| *quality >= 0.7), 0.60, 0.01);
    assert_near(what, share(qualities, |quality| (0.4..0.7).contains(quality)), 0.30, 0.01);
    assert_near(what, share(qualities, |quality| *quality < 0.4), 0.10, 0.01);
}

/// How many relationships each entity has.
fn degrees(graph: &Graph) -> Vec<u32> {
    let mut degrees = vec![0; graph.entities.len()];
    for relationship in &graph.relationships {
        degrees[relationship.source] += 1;
        degrees[relationship.target] += 1;
    }
    degrees
}

fn pairs(graph: &Graph) -> HashSet<(usize, usize)> {
    let ends = graph.relationships.iter().map(|related| (related.source, related.target));
    ends.map(|(one, other)| (one.min(other), one.max(other))).collect()
}

#[test]
fn the_kinds_of_entities_have_their_shares() {
    let graph = seeded(7);
    assert_eq!(graph.entities.len(), ENTITIES);
    let shares = [
        (Kind::Organisation, 0.40),
        (Kind::Person, 0.30),
        (Kind::Concept, 0.15),
        (Kind::Location, 0.10),
        (Kind::Event, 0.05),
    ];
    for (kind, wanted) in shares {
        let of_kind = share(&graph.entities, |entity| entity.facts.entity_type == kind.name());
        assert_near(kind.name(), of_kind, wanted, 0.01);
    }
}

#[test]
fn dates_and_qualities_have_their_shares() {
    let graph = seeded(7);
    let articles = articles(7, until(), ARTICLES, &graph);
    assert_dates("entities", &graph.entities.iter().map(|entity| entity.at).collect::<Vec<_>>());
    assert_dates("relationships", &graph.relationships.iter().map(|related| related.at).collect::<Vec<_>>());
    assert_dates("articles", &articles.iter().map(|article| article.published_at).collect::<Vec<_>>());
    assert_qualities("entities", &graph.entities.iter().map(|entity| entity.facts.confidence).collect::<Vec<_>>());
    let of_relationships: Vec<f64> = graph.relationships.iter().map(|related| related.facts.confidence).collect();
    assert_qualities("relationships", &of_relationships);
    assert_qualities("articles", &articles.iter().map(|article| article.quality).collect::<Vec<_>>());
    assert_qualities("their relevance", &articles.iter().map(|article| article.relevance).collect::<Vec<_>>());
}

#[test]
fn there_are_hubs_clusters_and_a_long_tail() {
    let graph = seeded(7);
    let degrees = degrees(&graph);
    assert_near("hubs", share(&degrees, |degree| *degree >= HUB), 0.02, 0.005);
    assert!(degrees.iter().max().is_some_and(|largest| *largest > 500), "{:?}", degrees.iter().max());
    assert_near("the tail", share(&degrees, |degree| (1..=2).contains(degree)), 0.5, 0.02);
    assert!(degrees.iter().all(|degree| *degree > 0), "nothing is alone");

    let pairs = pairs(&graph);
    let clustered: usize = graph.clusters.iter().map(Vec::len).sum();
    assert!(clustered > ENTITIES * 4 / 10, "{clustered} are in clusters");
    assert_eq!(graph.clusters.iter().flatten().collect::<HashSet<_>>().len(), clustered, "each in one");
    for cluster in &graph.clusters {
        assert!((3..=5).contains(&cluster.len()));
        for (index, one) in cluster.iter().enumerate() {
            for other in &cluster[..index] {
                assert!(pairs.contains(&(*one.min(other), *one.max(other))), "{one} and {other} of {cluster:?}");
            }
        }
    }
}

#[test]
fn there_are_exactly_so_many_relationships_none_twice_and_none_to_itself() {
    let sizes =
        [(0, 0), (1, 0), (2, 1), (3, 3), (10, 12), (40, 780), (60, 200), (100, 4_950), (1_000, 100), (500, 9_000)];
    for (entities, relationships) in sizes {
        let graph = graph(3, until(), entities, relationships);
        assert_eq!((graph.entities.len(), graph.relationships.len()), (entities, relationships));
        assert_eq!(pairs(&graph).len(), relationships, "of {entities}");
        assert!(graph.relationships.iter().all(|related| related.source != related.target));
    }
    assert_eq!([most(0), most(1), most(2), most(5)], [0, 0, 1, 10]);
}

#[test]
fn a_small_graph_has_a_hub_and_a_tail_too() {
    let graph = graph(3, until(), 200, 600);
    let degrees = degrees(&graph);
    assert!(degrees.iter().any(|degree| *degree >= HUB), "{degrees:?}");
    assert!(share(&degrees, |degree| (1..=2).contains(degree)) > 0.4, "{degrees:?}");
    assert!(!graph.clusters.is_empty());
}

#[test]
fn nothing_is_related_before_it_is_known_nor_written_about() {
    let graph = seeded(7);
    let early = graph
        .relationships
        .iter()
        .filter(|related| [related.source, related.target].iter().any(|end| related.at < graph.entities[*end].at));
    assert_eq!(early.count(), 0);
    let articles = articles(7, until(), ARTICLES, &graph);
    let early = |article: &&Article| article.entities.iter().any(|at| graph.entities[*at].at > article.published_at);
    assert_eq!(articles.iter().filter(early).count(), 0);
    assert!(share(&articles, |article| !article.entities.is_empty()) > 0.99);
}

#[test]
fn the_same_seed_makes_the_same_and_another_one_something_else() {
    let made = |seed: u64| {
        let graph = graph(seed, until(), 300, 900);
        let articles = articles(seed, until(), 50, &graph);
        let read = sessions(seed, until(), 10, &Shelf::new(&articles));
        format!("{:?}{graph:?}{articles:?}{read:?}{:?}", people(seed, 10), cares(seed, until(), 10))
    };
    assert_eq!(made(7), made(7));
    assert_ne!(made(7), made(8));
    let (one, other) = (graph(7, until(), 300, 900), graph(7, until() - TimeDelta::days(1), 300, 900));
    let moved = one
        .entities
        .iter()
        .zip(&other.entities)
        .all(|(one, other)| one.at - other.at == TimeDelta::days(1) && one.facts.name == other.facts.name);
    assert!(moved, "another day moves the dates and nothing else");
}

#[test]
fn names_tell_things_apart() {
    let graph = seeded(7);
    let mut of_names: HashMap<&str, usize> = HashMap::new();
    for entity in graph.entities.iter().filter(|entity| entity.kind != Kind::Person) {
        *of_names.entry(&entity.facts.name).or_default() += 1;
    }
    assert!(of_names.values().all(|times| *times == 1));
}

#[test]
fn everybody_has_a_role_and_most_are_reviewers() {
    let of = |count: usize, role: Role| people(7, count).iter().filter(|user| user.role == role).count();
    assert_eq!([Role::Reviewer, Role::Requester, Role::Analyst].map(|role| of(100, role)), [60, 30, 10]);
    assert_eq!([Role::Reviewer, Role::Requester].map(|role| of(2, role)), [1, 1], "two can ask and decide");
}

#[test]
fn articles_have_some_paragraphs_and_topics_of_the_tree() {
    let articles = articles(7, until(), ARTICLES, &seeded(7));
    for article in &articles {
        assert!(article.body.split("\n\n").count() >= 3);
        assert!(!article.body.contains('{') && !article.title.is_empty() && !article.summary.is_empty());
        let topics: HashSet<_> = article.topics.iter().map(|place| TOPICS[*place].word).collect();
        assert_eq!(topics.len(), article.topics.len());
        assert!((1..=3).contains(&topics.len()));
        assert!(article.entities.len() <= 5);
    }
    for (place, topic) in TOPICS.iter().enumerate() {
        let known = |parent: &str| TOPICS[..place].iter().any(|other| other.word == parent);
        assert!(topic.parent.is_none_or(known), "{} comes behind its parent", topic.word);
    }
}

#[test]
fn users_read_what_is_out_and_act_on_what_they_opened() {
    let graph = seeded(7);
    let articles = articles(7, until(), ARTICLES, &graph);
    let sessions = sessions(7, until(), 100, &Shelf::new(&articles));
    let acts: usize = sessions.iter().map(|session| session.acts.len()).sum();
    assert!((2_000..8_000).contains(&acts), "{acts}");
    let mut saved = 0;
    for session in &sessions {
        assert!(session.user < 100 && session.at <= until());
        assert!(session.acts.is_sorted_by_key(|act| -act.before.num_seconds()));
        for act in &session.acts {
            if let Thing::Article(place) = act.thing {
                assert!(articles[place].published_at <= session.at);
            }
            assert!(act.before > TimeDelta::zero() && act.before < TimeDelta::minutes(15));
            assert_eq!(act.dwell_ms.is_some(), act.action == Action::Dwell);
            saved += usize::from(act.action == Action::Save);
        }
    }
    assert!(saved > 100, "{saved}");
}
