//! What was made becomes commands, and goes to the journal: people first, what is read last.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use docket_command_api::setup::{Enrolment, NewMember, SetupError};
use docket_domain::engagement::{self, Batch, batch_stream};
use docket_domain::feed::{
    self, Article, Preferences, PublishArticle, Saved, SetTopic, Topics, preferences_id, publish_article, save_article,
    saved_id, set_preferences, topics_id,
};
use docket_domain::identity::{User, set_notifications};
use docket_domain::knowledge::{
    AddEntity, AddRelationship, Entity, Relationship, add_entity, add_relationship, relationship_id,
};
use docket_domain::{Aggregate, At, Decided};
use docket_events::engagement::{Action, Engaged};
use docket_events::feed::{ArticleFacts, FeedEvent};
use docket_events::identity::{Mailing, NotificationPreferencesSet};
use docket_events::{Category, Metadata, StreamId};
use docket_log::{CommandContext, Outcome, Store};
use docket_platform::config::Masked;
use uuid::Uuid;

use super::articles::{self, TOPICS};
use super::graph::Graph;
use super::names::Names;
use super::people;
use super::reading::{Cares, Session, Thing};
use crate::commands::import::bar;
use crate::commands::import::journal::{self, Beginning, Done, PATIENCE, is_passing};
use crate::exit::is_unreachable;
use crate::place::patiently;

/// Where things are written, and under which names.
pub struct Writer<'a> {
    /// The journal.
    pub store: &'a Store,
    /// What things are called.
    pub names: Names,
}

/// Somebody who said nothing of mail gets none: the addresses are invented.
fn without_mail() -> NotificationPreferencesSet {
    NotificationPreferencesSet { asked: Mailing::None, outcome: Mailing::None, ..NotificationPreferencesSet::default() }
}

impl Writer<'_> {
    /// Nobody is told of what comes from elsewhere.
    fn context(&self) -> CommandContext {
        let metadata = Metadata { imported: true, ..Metadata::default() };
        CommandContext { tenant: self.names.tenant, metadata, ..CommandContext::default() }
    }

    /// Makes the users members of the organisation.
    ///
    /// # Errors
    /// When the password may not be set, or the journal does not answer.
    pub async fn users(&self, users: &[people::User], password: Option<&Masked>) -> anyhow::Result<Done> {
        let progress = bar(users.len(), "users");
        let enrolment =
            Enrolment::new(self.store, self.names.tenant, password.map(|password| password.expose().into())).await?;
        let mut done = Done::default();
        for (place, user) in users.iter().enumerate() {
            let (user_id, email) = (self.names.user(place), self.names.email(place, &user.name));
            let member = NewMember { user_id, email, name: user.name.clone(), role: user.role };
            done.count(patiently(PATIENCE, may_pass, async || enrolment.add(&member).await).await?);
            self.keep_mail_from(user_id).await?;
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok(done)
    }

    async fn keep_mail_from(&self, user_id: Uuid) -> anyhow::Result<()> {
        let decide = |user: &User, _| match user.notifications {
            None => set_notifications(user, without_mail()),
            Some(_) => Decided::accepted(Vec::new()),
        };
        let stream = StreamId::new(Category::Identity, user_id);
        let context = CommandContext::default();
        match patiently(PATIENCE, is_passing, async || self.store.execute(&context, stream, decide).await).await? {
            Outcome::Accepted(_) => Ok(()),
            Outcome::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// Adds the entities.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn entities(&self, graph: &Graph) -> anyhow::Result<Done> {
        let commands = graph.entities.iter().enumerate().map(|(place, entity)| {
            let external_id = Some(self.names.external("entity", place));
            let command = AddEntity { facts: entity.facts.clone(), external_id, added_by: self.names.seeder() };
            let decided = add_entity(&Entity::default(), &command);
            Beginning { id: self.names.entity(place), at: entity.at, decided }
        });
        journal::write_all::<Entity, _>(self.store, &self.context(), "entities", commands).await
    }

    /// Adds the relationships.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn relationships(&self, graph: &Graph) -> anyhow::Result<Done> {
        let commands = graph.relationships.iter().map(|related| {
            let [source_id, target_id] = [related.source, related.target].map(|place| self.names.entity(place));
            let command = AddRelationship {
                source_id,
                relationship_type: related.kind.to_owned(),
                target_id,
                facts: related.facts.clone(),
                added_by: self.names.seeder(),
            };
            let id = relationship_id(self.names.tenant, source_id, related.kind, target_id);
            Beginning { id, at: related.at, decided: add_relationship(&Relationship::default(), &command) }
        });
        journal::write_all::<Relationship, _>(self.store, &self.context(), "relationships", commands).await
    }

    /// Sets the topics that are not there; one that the organisation has stays as it is.
    ///
    /// # Errors
    /// When there are too many topics, or the journal does not answer.
    pub async fn topics(&self) -> anyhow::Result<Done> {
        let set_by = self.names.seeder();
        let mut done = Done::default();
        let decide = |topics: &Topics, now: DateTime<Utc>| {
            let decided = missing_topics(topics, set_by, now);
            let written = decided.events.len() as u64;
            done = Done { written, there: TOPICS.len() as u64 - written };
            decided
        };
        let stream = StreamId::new(Category::Feed, topics_id(self.names.tenant));
        let (context, mut decide) = (self.context(), decide);
        match patiently(PATIENCE, is_passing, async || self.store.execute(&context, stream, &mut decide).await).await? {
            Outcome::Accepted(_) => Ok(done),
            Outcome::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// Publishes the articles.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn articles(&self, articles: &[articles::Article]) -> anyhow::Result<Done> {
        let commands = articles.iter().enumerate().map(|(place, article)| {
            let facts = ArticleFacts {
                title: article.title.clone(),
                summary: article.summary.clone(),
                body: article.body.clone(),
                content_type: article.content_type.to_owned(),
                quality: article.quality,
                relevance: article.relevance,
                topics: article.topics.iter().map(|place| TOPICS[*place].word.to_owned()).collect(),
                entities: article.entities.iter().map(|place| self.names.entity(*place)).collect(),
                source_url: Some(format!("https://example.org/seed/{}/{place}", self.names.seed)),
                published_at: article.published_at,
            };
            let external_id = Some(self.names.external("article", place));
            let command = PublishArticle { facts, external_id, published_by: self.names.seeder() };
            let at = article.published_at;
            Beginning { id: self.names.article(place), at, decided: publish_article(&Article::default(), &command, at) }
        });
        journal::write_all::<Article, _>(self.store, &self.context(), "articles", commands).await
    }

    /// Says what each user cares for, in order.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn cares(&self, cares: &[Cares]) -> anyhow::Result<Done> {
        let commands = cares.iter().enumerate().map(|(place, cares)| {
            let user = self.names.user(place);
            let decided = set_preferences(&Preferences::default(), user, &cares.topics);
            Beginning { id: preferences_id(self.names.tenant, user), at: cares.at, decided }
        });
        journal::write_all::<Preferences, _>(self.store, &self.context(), "preferences", commands).await
    }

    /// Records the sessions.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn sessions(&self, sessions: &[Session]) -> anyhow::Result<Done> {
        let commands = sessions.iter().enumerate().map(|(place, session)| {
            let (user, name) = (self.names.user(session.user), self.names.external("session", place));
            let id = batch_stream(self.names.tenant, user, &name);
            let engaged = session.acts.iter().enumerate().map(|(index, act)| Engaged {
                id: Uuid::new_v5(&id, index.to_string().as_bytes()),
                action: act.action,
                item: self.names.item(act.thing),
                at: Some(session.at - act.before),
                dwell_ms: act.dwell_ms,
                consultation_id: None,
            });
            let items: Vec<Engaged> = engaged.collect();
            Beginning { id, at: session.at, decided: engagement::record(&Batch::default(), user, &items, session.at) }
        });
        journal::write_all::<Batch, _>(self.store, &self.context(), "sessions", commands).await
    }

    /// Keeps at hand what was saved in the sessions.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn saved(&self, sessions: &[Session]) -> anyhow::Result<Done> {
        let mut seen = HashSet::new();
        let acts = sessions.iter().flat_map(|session| session.acts.iter().map(move |act| (session, act)));
        let saved = acts.filter_map(|(session, act)| match (act.action, act.thing) {
            (Action::Save, Thing::Article(place)) => Some((session.user, place, session.at - act.before)),
            _ => None,
        });
        let saved: Vec<_> = saved.filter(|(user, place, _)| seen.insert((*user, *place))).collect();
        let commands = saved.into_iter().map(|(user, place, at)| {
            let (user, article) = (self.names.user(user), self.names.article(place));
            let decided = save_article(&Saved::default(), (user, article), None);
            Beginning { id: saved_id(self.names.tenant, user, article), at, decided }
        });
        journal::write_all::<Saved, _>(self.store, &self.context(), "saved articles", commands).await
    }
}

fn may_pass(error: &SetupError) -> bool {
    match error {
        SetupError::Journal(error) => is_passing(error),
        SetupError::Accounts(error) => is_unreachable(error),
        _ => false,
    }
}

/// Decides that the topics are set which are not there.
fn missing_topics(topics: &Topics, set_by: Uuid, now: DateTime<Utc>) -> Decided<FeedEvent, feed::Refusal> {
    let mut state = topics.clone();
    let mut events = Vec::new();
    for topic in TOPICS {
        if state.topics.contains_key(topic.word) {
            continue;
        }
        let parent = topic.parent.map(str::to_owned);
        let command = SetTopic { topic: topic.word.to_owned(), name: topic.name.to_owned(), parent, set_by };
        let decided = feed::set_topic(&state, &command);
        if let Some(refusal) = decided.refusal {
            return Decided::refused(refusal);
        }
        for event in decided.events {
            state.evolve(&event, At { version: state.version + 1, time: now });
            events.push(event);
        }
    }
    Decided::accepted(events)
}
