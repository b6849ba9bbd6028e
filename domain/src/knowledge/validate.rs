//! What may be said of entities and relationships. Owns the limits of every field; each refusal names the field that it is about.

use docket_events::knowledge::{EntityFacts, RelationshipFacts};
use serde_json::{Map, Value};

use super::Refusal;
use crate::{
    consultation::{self, validate},
    fields::{self, Unfit},
};

const MAX_TYPE_BYTES: usize = 200;
const MAX_NAME_CHARS: usize = 500;
const MAX_ALIASES: usize = 50;
const MAX_PROPERTIES: usize = 200;
const MAX_PROPERTIES_BYTES: usize = 16 * 1024;
const MAX_SOURCE_CHARS: usize = 500;
const MAX_EXTERNAL_ID_CHARS: usize = 200;
const MAX_REASON_CHARS: usize = 1_000;

impl From<Unfit> for Refusal {
    fn from(Unfit { field, reason }: Unfit) -> Self {
        Self::Invalid { field, reason }
    }
}

pub(super) fn invalid<T>(field: &'static str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Invalid { field, reason: reason.into() })
}

/// The type without a fault: the vocabulary is the organisation's own, the form is not.
///
/// # Errors
/// [`Refusal::Invalid`] on `type`.
pub fn check_type(text: &str) -> Result<(), Refusal> {
    Ok(fields::word("type", text, MAX_TYPE_BYTES)?)
}

fn line(field: &'static str, text: &str, most: usize) -> Result<(), Refusal> {
    Ok(fields::line(field, text, most)?)
}

fn confidence(confidence: f64) -> Result<(), Refusal> {
    Ok(fields::share("confidence", confidence)?)
}

fn properties(properties: &Map<String, Value>) -> Result<(), Refusal> {
    if properties.len() > MAX_PROPERTIES {
        return invalid("properties", format!("must not have more than {MAX_PROPERTIES} members"));
    }
    let value = Value::Object(properties.clone());
    validate::json("properties", &value, MAX_PROPERTIES_BYTES).or_else(|refusal| match refusal {
        consultation::Refusal::Invalid { field, reason } => invalid(field, reason),
        other => invalid("properties", other.to_string()),
    })
}

fn source(source: Option<&str>) -> Result<(), Refusal> {
    source.map_or(Ok(()), |text| line("source", text, MAX_SOURCE_CHARS))
}

pub(super) fn external_id(external_id: Option<&str>) -> Result<(), Refusal> {
    external_id.map_or(Ok(()), |text| line("external_id", text, MAX_EXTERNAL_ID_CHARS))
}

pub(super) fn reason(reason: &str) -> Result<(), Refusal> {
    line("reason", reason, MAX_REASON_CHARS)
}

pub(super) fn entity(facts: &EntityFacts) -> Result<(), Refusal> {
    check_type(&facts.entity_type)?;
    line("name", &facts.name, MAX_NAME_CHARS)?;
    if facts.aliases.len() > MAX_ALIASES {
        return invalid("aliases", format!("must not be more than {MAX_ALIASES}"));
    }
    facts.aliases.iter().try_for_each(|alias| line("aliases", alias, MAX_NAME_CHARS))?;
    let mut sorted: Vec<&String> = facts.aliases.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return invalid("aliases", "must not name anything twice");
    }
    confidence(facts.confidence)?;
    source(facts.source.as_deref())?;
    properties(&facts.properties)
}

pub(super) fn relationship(facts: &RelationshipFacts) -> Result<(), Refusal> {
    confidence(facts.confidence)?;
    source(facts.source.as_deref())?;
    properties(&facts.properties)
}
