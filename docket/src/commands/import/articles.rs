//! Articles from a file of JSON lines: read, decided by the domain, journalled and counted here.

use std::collections::{BTreeSet, HashSet};
use std::io::BufRead;
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};
use docket_command_api::knowledge::entities_among;
use docket_domain::feed::{Article, PublishArticle, Topics, article_id, publish_article, topics_id};
use docket_domain::knowledge::entity_id;
use docket_events::{Category, Metadata, StreamId, feed::ArticleFacts};
use docket_log::{Bell, CommandContext, Store, Topic};
use docket_platform::db::DbRole;
use docket_platform::{Shutdown, clock};
use serde::Deserialize;
use uuid::Uuid;

use super::journal::{self, Beginning};
use super::lines::{Fault, opened, refuse_bad};
use super::tenant;
use crate::place::{self, Place};

/// Ids that are looked up at once.
const LOOKED_UP: usize = 10_000;

/// An article, as a line has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    title: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    body: String,
    #[serde(default = "article")]
    content_type: String,
    #[serde(default = "middling")]
    quality: f64,
    #[serde(default = "middling")]
    relevance: f64,
    #[serde(default)]
    topics: Vec<String>,
    #[serde(default)]
    entities: Vec<String>,
    #[serde(default)]
    source_url: String,
    published_at: Option<DateTime<Utc>>,
}

fn article() -> String {
    "article".to_owned()
}

const fn middling() -> f64 {
    0.5
}

/// An article with its line, and what it names.
struct Read {
    line: u64,
    command: PublishArticle,
    /// The names of its entities, in their order.
    entities: Vec<String>,
}

/// Imports a file and says what came of it.
///
/// # Errors
/// When the file cannot be read, has broken lines that are not to be skipped, or the journal does not answer.
pub async fn run(place: &Place, file: &Path, skip_bad: bool, organisation: Option<Uuid>) -> anyhow::Result<()> {
    let database = place.find().await?;
    let installation = place::installation(&place.pool(&database, DbRole::Writer)).await?;
    let bell = Bell::new(Topic::Journal);
    let store = place.store(&database, installation, bell.clone());
    let tenant = tenant(&store, organisation).await?;
    let now = clock::now();

    let (mut articles, mut faults) =
        read(opened(file)?, tenant, now).with_context(|| format!("{} cannot be imported", file.display()))?;
    unknown_names(&store, tenant, &mut articles, &mut faults).await?;
    faults.sort();
    refuse_bad(&[(file, &faults)], skip_bad)?;

    let shutdown = Shutdown::new();
    // The readers of a running docket hear of it at once.
    shutdown.spawn(bell.announce(store.pool().clone(), shutdown.token()));
    let metadata = Metadata { imported: true, ..Metadata::default() };
    let context = CommandContext { tenant, metadata, ..CommandContext::default() };
    let beginnings = articles.iter().map(|Read { command, .. }| {
        let id = article_id(tenant, command.external_id.as_deref().unwrap_or_default());
        Beginning { id, at: now, decided: publish_article(&Article::default(), command, now) }
    });
    let done = journal::write_all::<Article, _>(&store, &context, "articles", beginnings).await?;
    shutdown.begin();

    println!("articles            {:>8}", done.all());
    println!("imported            {:>8}", done.written);
    println!("already there       {:>8}", done.there);
    println!("broken, left out    {:>8}", faults.len());
    Ok(())
}

/// Reads every line: what can be imported, and what cannot.
fn read(file: impl BufRead, tenant: Uuid, now: DateTime<Utc>) -> std::io::Result<(Vec<Read>, Vec<Fault>)> {
    let (mut articles, mut faults, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (line, bytes) in (1..).zip(file.split(b'\n')) {
        let bytes = bytes?;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let article = understood(&bytes, tenant, now).and_then(|(command, entities)| {
            let name = command.external_id.clone().unwrap_or_default();
            match seen.insert(name.clone()) {
                true => Ok(Read { line, command, entities }),
                false => Err(format!("`{name}` is there in a line before")),
            }
        });
        match article {
            Ok(article) => articles.push(article),
            Err(reason) => faults.push(Fault { line, reason }),
        }
    }
    Ok((articles, faults))
}

/// What it is called. Collected texts come without a title now and then: such a one goes by its summary, or by its id.
fn titled(line: &Line) -> String {
    let first = |text: &str| text.lines().next().unwrap_or_default().trim().chars().take(500).collect::<String>();
    let names = [line.title.clone(), first(&line.summary), line.id.clone()];
    names.into_iter().find(|name| !name.trim().is_empty()).unwrap_or_default()
}

fn understood(bytes: &[u8], tenant: Uuid, now: DateTime<Utc>) -> Result<(PublishArticle, Vec<String>), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let facts = ArticleFacts {
        title: titled(&line),
        summary: line.summary,
        body: line.body,
        content_type: line.content_type,
        quality: line.quality,
        relevance: line.relevance,
        topics: line.topics,
        entities: line.entities.iter().map(|name| entity_id(tenant, name)).collect(),
        source_url: Some(line.source_url).filter(|url| !url.is_empty()),
        published_at: line.published_at.unwrap_or(now),
    };
    // Who imports is nobody in particular: the same whoever runs the command.
    let published_by = Uuid::new_v5(&tenant, b"import:articles");
    let command = PublishArticle { facts, external_id: Some(line.id), published_by };
    match publish_article(&Article::default(), &command, now).refusal {
        Some(refusal) => Err(refusal.to_string()),
        None => Ok((command, line.entities)),
    }
}

/// Takes out the articles that name topics or entities which the organisation does not have.
async fn unknown_names(
    store: &Store,
    tenant: Uuid,
    articles: &mut Vec<Read>,
    faults: &mut Vec<Fault>,
) -> anyhow::Result<()> {
    let topics = StreamId::new(Category::Feed, topics_id(tenant));
    let (topics, _) = store.load::<Topics>(topics, None).await?;
    let named: BTreeSet<Uuid> = articles.iter().flat_map(|article| article.command.facts.entities.clone()).collect();
    let named: Vec<Uuid> = named.into_iter().collect();
    let mut known = BTreeSet::new();
    for some in named.chunks(LOOKED_UP) {
        known.extend(entities_among(store.pool(), tenant, some).await?);
    }
    articles.retain(|Read { line, command, entities }| {
        let facts = &command.facts;
        let topic = facts.topics.iter().find(|topic| !topics.state.topics.contains_key(*topic));
        let entity = facts.entities.iter().zip(entities).find(|(id, _)| !known.contains(id));
        let reason = match (topic, entity) {
            (Some(topic), _) => format!("there is no topic `{topic}`"),
            (None, Some((_, name))) => format!("there is no entity `{name}`"),
            (None, None) => return true,
        };
        faults.push(Fault { line: *line, reason });
        false
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_the_rest_is_read() {
        let long = format!(r#"{{"id":"e","title":"{}"}}"#, "x".repeat(1 << 20));
        let file = [
            r#"{"id":"a","title":"A","source_url":""}"#,
            "",
            "not JSON",
            r#"{"id":"b"}"#,
            r#"{"id":"a","title":"Again"}"#,
            r#"{"id":"c","title":"C","colour":"red"}"#,
            r#"{"id":"d","title":"D","quality":1.1}"#,
            &long,
            "{\"id\":\"f\",\"title\":\"F\"}\r",
            r#"{"id":"g","title":" ","summary":"Of g.\nMore."}"#,
            r#"{"id":"h","title":""}"#,
        ]
        .join("\n");
        let (articles, faults) = read(file.as_bytes(), Uuid::nil(), clock::now()).unwrap();
        let read: Vec<_> = articles.iter().map(|read| (read.line, read.command.facts.title.as_str())).collect();
        assert_eq!(read, [(1, "A"), (9, "F"), (10, "Of g."), (11, "h")]);
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
        assert!(faults[1].reason.contains("title") && faults[4].reason.contains("quality"), "{faults:?}");
    }
}
