//! Given what there is, when something is commanded, then events or a refusal.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::feed::{ArticleFacts, FeedEvent};
use uuid::Uuid;

use super::*;
use crate::{Aggregate, At, Decided};

const WHO: Uuid = Uuid::from_u128(1);
const ARTICLE: Uuid = Uuid::from_u128(2);

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn facts() -> ArticleFacts {
    ArticleFacts {
        title: "Leases".to_owned(),
        content_type: "paper".to_owned(),
        quality: 0.5,
        relevance: 1.0,
        published_at: now(),
        ..ArticleFacts::default()
    }
}

fn after<A: Aggregate<Event = FeedEvent>>(mut state: A, decided: Decided<FeedEvent, Refusal>) -> A {
    assert_eq!(decided.refusal, None);
    for event in &decided.events {
        state.evolve(event, At { version: 1, time: now() });
    }
    state
}

fn publish(facts: ArticleFacts) -> PublishArticle {
    PublishArticle { facts, external_id: None, published_by: WHO }
}

#[test]
fn an_article_is_published_revised_and_retracted_and_repeats_change_nothing() {
    let published = publish_article(&Article::default(), &publish(facts()), now());
    let article = after(Article::default(), published);
    assert!(publish_article(&article, &publish(facts()), now()).events.is_empty());

    let revision = |quality| ReviseArticle { facts: ArticleFacts { quality, ..facts() }, revised_by: WHO };
    assert!(revise_article(&article, &revision(0.5), now()).events.is_empty());
    let article = after(article.clone(), revise_article(&article, &revision(0.9), now()));
    assert_eq!(article.facts.as_ref().unwrap().quality, 0.9);

    let retract = RetractArticle { reason: "Wrong.".to_owned(), retracted_by: WHO };
    let article = after(article.clone(), retract_article(&article, &retract));
    assert!(retract_article(&article, &retract).events.is_empty());
    assert_eq!(revise_article(&article, &revision(0.1), now()).refusal, Some(Refusal::Retracted));
    let nothing = revise_article(&Article::default(), &revision(0.1), now());
    assert_eq!(nothing.refusal, Some(Refusal::NotFound("article")));
}

#[test]
fn a_field_that_does_not_do_is_named() {
    let long = |count| "x".repeat(count);
    let wrong: [(&str, ArticleFacts); 14] = [
        ("title", ArticleFacts { title: " ".to_owned(), ..facts() }),
        ("title", ArticleFacts { title: long(1 << 20), ..facts() }),
        ("title", ArticleFacts { title: "a\u{7}b".to_owned(), ..facts() }),
        ("summary", ArticleFacts { summary: "a\u{0}b".to_owned(), ..facts() }),
        ("body", ArticleFacts { body: long(151 * 1024), ..facts() }),
        ("body", ArticleFacts { body: "\n".repeat(80 * 1024), ..facts() }),
        ("content_type", ArticleFacts { content_type: "A paper".to_owned(), ..facts() }),
        ("quality", ArticleFacts { quality: f64::NAN, ..facts() }),
        ("relevance", ArticleFacts { relevance: 1.1, ..facts() }),
        ("topics", ArticleFacts { topics: vec!["a".to_owned(); 2], ..facts() }),
        ("topics", ArticleFacts { topics: (0..21).map(|n| format!("t{n}")).collect(), ..facts() }),
        ("entities", ArticleFacts { entities: vec![WHO, WHO], ..facts() }),
        ("source_url", ArticleFacts { source_url: Some("javascript:alert(1)".to_owned()), ..facts() }),
        ("published_at", ArticleFacts { published_at: now() + TimeDelta::hours(1), ..facts() }),
    ];
    for (name, facts) in wrong {
        let decided = publish_article(&Article::default(), &publish(facts), now());
        assert!(decided.events.is_empty());
        assert!(matches!(decided.refusal, Some(Refusal::Invalid { field, .. }) if field == name), "{name}");
    }
}

#[test]
fn the_largest_article_fits_an_event() {
    let whole = ArticleFacts {
        title: "\u{10ffff}".repeat(500),
        summary: "\u{10ffff}".repeat(5_000),
        body: "x".repeat(150 * 1024),
        topics: (0..20).map(|n| format!("{}{n:02}", "t".repeat(98))).collect(),
        entities: (0..100).map(Uuid::from_u128).collect(),
        source_url: Some(format!("https://{}", "x".repeat(1_990))),
        ..facts()
    };
    let decided = publish_article(&Article::default(), &publish(whole), now());
    let text = docket_events::EventData::encode(&decided.events[0]).unwrap();
    assert!(text.len() < 250 * 1024, "{}", text.len());
}

fn set(topics: &Topics, topic: &str, parent: Option<&str>) -> Decided<FeedEvent, Refusal> {
    let (topic, parent) = (topic.to_owned(), parent.map(str::to_owned));
    set_topic(topics, &SetTopic { name: topic.to_uppercase(), topic, parent, set_by: WHO })
}

#[test]
fn topics_are_a_tree_whatever_is_commanded() {
    let mut topics = Topics::default();
    for (topic, parent) in [("science", None), ("physics", Some("science")), ("optics", Some("physics"))] {
        topics = after(topics.clone(), set(&topics, topic, parent));
    }
    assert!(set(&topics, "optics", Some("physics")).events.is_empty());
    for (topic, parent) in [("science", "optics"), ("science", "science"), ("physics", "optics")] {
        assert_eq!(set(&topics, topic, Some(parent)).refusal, Some(Refusal::Circle), "{topic} in {parent}");
    }
    assert_eq!(set(&topics, "new", Some("new")).refusal, Some(Refusal::Circle));
    let unknown = set(&topics, "physics", Some("art")).refusal;
    assert!(matches!(unknown, Some(Refusal::Invalid { field: "parent", .. })), "{unknown:?}");

    assert_eq!(remove_topic(&topics, "physics", WHO).refusal, Some(Refusal::HasParts));
    assert_eq!(remove_topic(&topics, "art", WHO).refusal, Some(Refusal::NotFound("topic")));
    topics = after(topics.clone(), set(&topics, "optics", None));
    topics = after(topics.clone(), remove_topic(&topics, "physics", WHO));
    assert_eq!(topics.topics.keys().collect::<Vec<_>>(), ["optics", "science"]);
}

#[test]
fn a_reader_prefers_and_saves_and_repeats_change_nothing() {
    let wanted: BTreeMap<String, f64> = [("physics".to_owned(), 1.0)].into();
    let preferences = after(Preferences::default(), set_preferences(&Preferences::default(), WHO, &wanted));
    assert!(set_preferences(&preferences, WHO, &wanted).events.is_empty());
    let wrong = [("physics".to_owned(), -0.1)].into();
    assert!(set_preferences(&preferences, WHO, &wrong).refusal.is_some());

    let own = (WHO, ARTICLE);
    assert!(unsave_article(&Saved::default(), own).events.is_empty());
    let saved = after(Saved::default(), save_article(&Saved::default(), own, Some("Read again.")));
    assert!(save_article(&saved, own, Some("Read again.")).events.is_empty());
    assert_eq!(save_article(&saved, own, None).events.len(), 1);
    assert!(save_article(&saved, own, Some(&"x".repeat(2_001))).refusal.is_some());
    let gone = after(saved.clone(), unsave_article(&saved, own));
    assert_eq!(gone.article_id, None);
    assert_eq!(save_article(&gone, own, Some("Read again.")).events.len(), 1);
}
