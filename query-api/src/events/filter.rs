//! Which events are asked for, and which of them whoever asks may see. Owns the words of `types=`.

use docket_domain::webhook::name_of;
use docket_events::{
    Category, EventData, consultation::ConsultationEvent, identity::IdentityEvent, knowledge::KnowledgeEvent,
};
use docket_platform::{
    FieldError, Problem,
    auth::{
        Principal,
        permissions::{self, Action},
    },
};

use crate::position::{EVENTS_CONSULTATION, EVENTS_FEED, EVENTS_IDENTITY, EVENTS_KNOWLEDGE, Source};

/// The events of one category that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kinds {
    All,
    /// These, and perhaps none.
    Some(Vec<String>),
}

/// The categories, in the order of the words of `types=`, and what each needs leave for.
const NEEDED: [(Source, Action); 4] = [
    (EVENTS_CONSULTATION, Action::Read),
    (EVENTS_KNOWLEDGE, Action::ReadKnowledge),
    (EVENTS_FEED, Action::ReadKnowledge),
    (EVENTS_IDENTITY, Action::ReadAudit),
];

/// What is told of the feed: what readers prefer and save is their own.
const OF_FEED: [&str; 5] = [
    "docket.feed.article_published.v1",
    "docket.feed.article_revised.v1",
    "docket.feed.article_retracted.v1",
    "docket.feed.topic_set.v1",
    "docket.feed.topic_removed.v1",
];

/// The categories that whoever asks may see, each with what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter(pub(super) Vec<(Source, Kinds)>);

impl Filter {
    /// What `types` asks for; without it, all that `principal` may see. The cursor goes over all of that, wanted or not.
    ///
    /// # Errors
    /// 400 when a name is none of an event, 403 when `principal` may not see what it asks for, or nothing.
    pub(super) fn new(principal: &Principal, types: Option<&str>) -> Result<Self, Problem> {
        let names: Option<Vec<&str>> = types.map(|types| types.split(',').map(str::trim).collect());
        if let Some(name) = names.iter().flatten().find(|name| !is_known(name)) {
            return Err(unknown(name));
        }
        let mut categories = Vec::new();
        for (source, action) in NEEDED {
            let kinds = wanted(source.category, names.as_deref());
            if permissions::allows(principal, action) {
                categories.push((source, kinds));
            } else if names.is_some() && kinds != Kinds::Some(Vec::new()) {
                permissions::check(principal, action)?;
            }
        }
        if categories.is_empty() {
            permissions::check(principal, Action::Read)?;
        }
        Ok(Self(categories))
    }

    /// What is read.
    pub(super) fn sources(&self) -> Vec<Source> {
        self.0.iter().map(|(source, _)| *source).collect()
    }
}

fn types(category: Category) -> &'static [&'static str] {
    match category {
        Category::Identity => IdentityEvent::TYPES,
        Category::Consultation => ConsultationEvent::TYPES,
        Category::Knowledge => KnowledgeEvent::TYPES,
        Category::Feed => &OF_FEED,
        // Who read what is nobody else's.
        Category::Engagement => &[],
    }
}

/// Every event of `category` that is told.
fn all(category: Category) -> Kinds {
    match category {
        Category::Feed => wanted(category, Some(&OF_FEED.map(name_of))),
        Category::Identity | Category::Consultation | Category::Knowledge | Category::Engagement => Kinds::All,
    }
}

/// Every name that there is.
fn names() -> impl Iterator<Item = String> {
    let of = |category: Category| {
        let all = std::iter::once(format!("{category}.*"));
        all.chain(types(category).iter().map(|event_type| name_of(event_type).to_owned()))
    };
    NEEDED.into_iter().map(|(source, _)| source.category).flat_map(of)
}

fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

fn unknown(name: &str) -> Problem {
    let all: Vec<String> = names().collect();
    let detail = format!("`{name}` is no event; there are {}.", all.join(", "));
    Problem::bad_request("invalid_query", "The query string cannot be used.").with_error(FieldError::coded(
        "types",
        "invalid_value",
        detail,
    ))
}

fn wanted(category: Category, names: Option<&[&str]>) -> Kinds {
    let Some(names) = names else { return all(category) };
    let own = names.iter().filter_map(|name| name.strip_prefix(category.name())?.strip_prefix('.'));
    let mut kinds: Vec<String> = own.map(str::to_owned).collect();
    if kinds.iter().any(|kind| kind == "*") {
        return all(category);
    }
    kinds.sort_unstable();
    kinds.dedup();
    Kinds::Some(kinds)
}

#[cfg(test)]
mod tests {
    use docket_platform::auth::{Role, Scope, Scopes};
    use uuid::Uuid;

    use super::*;

    fn person(role: Role) -> Principal {
        Principal::member(Uuid::nil(), Uuid::nil(), role)
    }

    fn some(kinds: &[&str]) -> Kinds {
        Kinds::Some(kinds.iter().map(|kind| (*kind).to_owned()).collect())
    }

    #[test]
    fn names_choose_within_what_one_may_see() {
        let of = |role, types| Filter::new(&person(role), types).map(|filter| filter.0);
        let feed = (EVENTS_FEED, all(Category::Feed));
        let everything = [(EVENTS_CONSULTATION, Kinds::All), (EVENTS_KNOWLEDGE, Kinds::All), feed.clone()];
        assert_eq!(of(Role::Analyst, None).unwrap(), everything);
        assert!(matches!(&feed.1, Kinds::Some(kinds) if !kinds.iter().any(|kind| kind.contains("saved"))));
        let feed_alone = of(Role::Analyst, Some("feed.*")).unwrap();
        assert_eq!(feed_alone[2], feed);
        assert_eq!(of(Role::Admin, Some("feed.preferences_set")).unwrap_err().code(), "invalid_query");
        let admin = of(Role::Admin, Some("consultation.responded, consultation.timed_out,consultation.responded"));
        assert_eq!(
            admin.unwrap(),
            [
                (EVENTS_CONSULTATION, some(&["responded", "timed_out"])),
                (EVENTS_KNOWLEDGE, some(&[])),
                (EVENTS_FEED, some(&[])),
                (EVENTS_IDENTITY, some(&[]))
            ]
        );
        let both = of(Role::Admin, Some("identity.*,consultation.responded")).unwrap();
        assert_eq!(
            both,
            [
                (EVENTS_CONSULTATION, some(&["responded"])),
                (EVENTS_KNOWLEDGE, some(&[])),
                (EVENTS_FEED, some(&[])),
                (EVENTS_IDENTITY, Kinds::All)
            ]
        );
        let graph = of(Role::Requester, Some("knowledge.entity_merged")).unwrap();
        assert_eq!(graph[1], (EVENTS_KNOWLEDGE, some(&["entity_merged"])));
        assert_eq!(of(Role::Reviewer, Some("consultation.*,identity.role_changed")).unwrap_err().code(), "forbidden");
    }

    #[test]
    fn a_name_that_is_none_is_told_with_those_there_are() {
        for types in ["", "responded", "consultation.nonsense", "consultation", "*", "docket.consultation.responded.v1"]
        {
            let refused = Filter::new(&person(Role::Admin), Some(types)).unwrap_err();
            assert_eq!((refused.code(), refused.errors()[0].field.as_str()), ("invalid_query", "types"), "{types}");
            assert!(refused.errors()[0].detail.contains("consultation.timed_out"), "{types}");
        }
    }

    #[test]
    fn a_key_sees_what_its_scopes_let_it_read_and_nothing_else() {
        let key = |scope| Principal::key(Uuid::nil(), Uuid::nil(), Scopes::from_iter([scope]));
        let reads = Filter::new(&key(Scope::ConsultationRead), None).unwrap();
        assert_eq!(reads.0, [(EVENTS_CONSULTATION, Kinds::All)]);
        let graph = Filter::new(&key(Scope::KnowledgeRead), None).unwrap();
        assert_eq!(graph.0, [(EVENTS_KNOWLEDGE, Kinds::All), (EVENTS_FEED, all(Category::Feed))]);
        assert_eq!(Filter::new(&key(Scope::ConsultationAsk), None).unwrap_err().code(), "forbidden");
    }
}
