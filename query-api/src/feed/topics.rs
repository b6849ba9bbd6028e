//! The tree of topics.

use std::collections::{BTreeMap, HashMap};

use async_graphql::SimpleObject;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

/// More topics than an organisation may have: no way up the tree is longer, even if there were a circle in it.
const MAX_DEPTH: usize = 1_000;

/// What articles are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, SimpleObject, ToSchema)]
pub struct Topic {
    /// The word that stands for it.
    topic: String,
    /// What it is called.
    name: String,
    /// The topic that it is a part of; null: it is at the top.
    parent: Option<String>,
    /// The way to it, from the top on; itself last.
    path: Vec<String>,
    /// How many articles that stand name it themselves.
    articles: i64,
}

/// Which topic is a part of which.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// By topic: its name, and what it is a part of.
    topics: BTreeMap<String, (String, Option<String>)>,
}

impl Tree {
    /// The tree of `tenant`.
    pub(super) async fn load(connection: &mut PgConnection, tenant: Uuid) -> Result<Self, sqlx::Error> {
        let sql = "select topic, name, parent from read.topic where tenant = $1";
        let rows: Vec<(String, String, Option<String>)> =
            sqlx::query_as(sql).bind(tenant).fetch_all(connection).await?;
        Ok(Self { topics: rows.into_iter().map(|(topic, name, parent)| (topic, (name, parent))).collect() })
    }

    /// `topic`, what it is a part of, and so on to the top.
    pub(super) fn way_up<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a str> {
        std::iter::successors(Some(topic), |topic| self.topics.get(*topic)?.1.as_deref()).take(MAX_DEPTH)
    }

    /// `topic` and everything that is a part of it.
    fn within(&self, topic: &str) -> Vec<String> {
        let parts = self.topics.keys().filter(|other| *other != topic && self.way_up(other).any(|up| up == topic));
        std::iter::once(topic.to_owned()).chain(parts.cloned()).collect()
    }

    #[cfg(test)]
    pub(super) fn of(parents: &[(&str, Option<&str>)]) -> Self {
        let topics = parents.iter().map(|(topic, parent)| {
            let topic = (*topic).to_owned();
            (topic.clone(), (topic, parent.map(str::to_owned)))
        });
        Self { topics: topics.collect() }
    }
}

/// The words that an article may have to be about `topic`: its own and those of everything that is a part of it. None: all do.
pub(super) async fn within(
    connection: &mut PgConnection,
    tenant: Uuid,
    topic: Option<&str>,
) -> Result<Option<Vec<String>>, sqlx::Error> {
    let Some(topic) = topic else { return Ok(None) };
    Ok(Some(Tree::load(connection, tenant).await?.within(topic)))
}

/// Every topic of `tenant`, in the order of their words.
pub(super) async fn list(connection: &mut PgConnection, tenant: Uuid) -> Result<Vec<Topic>, sqlx::Error> {
    let tree = Tree::load(&mut *connection, tenant).await?;
    let counts: Vec<(String, i64)> = sqlx::query_as(
        "select t.topic, count(*) from read.article a cross join unnest(a.topics) as t (topic)
         where a.tenant = $1 and a.retracted is null group by t.topic",
    )
    .bind(tenant)
    .fetch_all(connection)
    .await?;
    let counts: HashMap<String, i64> = counts.into_iter().collect();
    let topic = |(topic, (name, parent)): (&String, &(String, Option<String>))| {
        let mut path: Vec<String> = tree.way_up(topic).map(str::to_owned).collect();
        path.reverse();
        let articles = counts.get(topic).copied().unwrap_or(0);
        Topic { topic: topic.clone(), name: name.clone(), parent: parent.clone(), path, articles }
    };
    Ok(tree.topics.iter().map(topic).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_holds_itself_and_what_is_a_part_of_it() {
        let tree =
            Tree::of(&[("optics", Some("physics")), ("physics", Some("science")), ("science", None), ("art", None)]);
        assert_eq!(tree.within("physics"), ["physics", "optics"]);
        assert_eq!(tree.within("unheard-of"), ["unheard-of"]);
        assert_eq!(tree.way_up("optics").collect::<Vec<_>>(), ["optics", "physics", "science"]);
        let circle = Tree::of(&[("a", Some("b")), ("b", Some("a"))]);
        assert_eq!(circle.within("a"), ["a", "b"]);
    }
}
