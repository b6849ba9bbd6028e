//! What may be said of articles and topics. Owns the limits of every field; each refusal names the field that it is about.

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::feed::ArticleFacts;

use super::Refusal;
use crate::fields::{self, Unfit, unfit};

const MAX_TITLE_CHARS: usize = 500;
const MAX_SUMMARY_CHARS: usize = 5_000;
/// An event is at most 256 KiB, and a character of the body at most four bytes, escaped six: so much always fits.
const MAX_BODY_BYTES: usize = 150 * 1024;
const MAX_WORD_BYTES: usize = 100;
const MAX_TOPICS: usize = 20;
const MAX_ENTITIES: usize = 100;
const MAX_URL_CHARS: usize = 2_000;
const MAX_EXTERNAL_ID_CHARS: usize = 200;
const MAX_REASON_CHARS: usize = 1_000;
const MAX_NAME_CHARS: usize = 200;
const MAX_NOTE_CHARS: usize = 2_000;
const MAX_PREFERENCES: usize = 1_000;
/// Clocks differ: so far ahead an article may have come out.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

impl From<Unfit> for Refusal {
    fn from(Unfit { field, reason }: Unfit) -> Self {
        Self::Invalid { field, reason }
    }
}

/// The kind of a text without a fault.
///
/// # Errors
/// [`Refusal::Invalid`] on `content_type`.
pub fn check_content_type(text: &str) -> Result<(), Refusal> {
    Ok(fields::word("content_type", text, MAX_WORD_BYTES)?)
}

pub(super) fn article(facts: &ArticleFacts, now: DateTime<Utc>) -> Result<(), Refusal> {
    fields::line("title", &facts.title, MAX_TITLE_CHARS)?;
    fields::lines("summary", &facts.summary, MAX_SUMMARY_CHARS)?;
    body(&facts.body)?;
    check_content_type(&facts.content_type)?;
    fields::share("quality", facts.quality)?;
    fields::share("relevance", facts.relevance)?;
    few("topics", &facts.topics, MAX_TOPICS)?;
    facts.topics.iter().try_for_each(|topic| fields::word("topics", topic, MAX_WORD_BYTES))?;
    few("entities", &facts.entities, MAX_ENTITIES)?;
    if let Some(url) = &facts.source_url {
        source_url(url)?;
    }
    if facts.published_at > now + AHEAD {
        unfit("published_at", "must not lie in the future")?;
    }
    Ok(())
}

fn body(text: &str) -> Result<(), Unfit> {
    // As it stands in the event: quotes, line breaks and the like take two bytes.
    let escaped = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count();
    if text.len() + escaped > MAX_BODY_BYTES {
        return unfit("body", format!("must not take more than {} KiB", MAX_BODY_BYTES / 1024));
    }
    fields::lines("body", text, MAX_BODY_BYTES)
}

fn few<T: Ord>(field: &'static str, list: &[T], most: usize) -> Result<(), Unfit> {
    if list.len() > most {
        return unfit(field, format!("must not be more than {most}"));
    }
    let mut sorted: Vec<&T> = list.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        true => unfit(field, "must not name anything twice"),
        false => Ok(()),
    }
}

fn source_url(url: &str) -> Result<(), Unfit> {
    fields::line("source_url", url, MAX_URL_CHARS)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !url.contains(char::is_whitespace)) {
        true => Ok(()),
        false => unfit("source_url", "must be a URL that begins with https:// or http://"),
    }
}

pub(super) fn external_id(external_id: Option<&str>) -> Result<(), Refusal> {
    external_id.map_or(Ok(()), |text| Ok(fields::line("external_id", text, MAX_EXTERNAL_ID_CHARS)?))
}

pub(super) fn reason(reason: &str) -> Result<(), Refusal> {
    Ok(fields::line("reason", reason, MAX_REASON_CHARS)?)
}

/// The word of a topic without a fault.
///
/// # Errors
/// [`Refusal::Invalid`] on `topic`.
pub fn check_topic(text: &str) -> Result<(), Refusal> {
    topic(text)
}

pub(super) fn topic(topic: &str) -> Result<(), Refusal> {
    Ok(fields::word("topic", topic, MAX_WORD_BYTES)?)
}

pub(super) fn name(name: &str) -> Result<(), Refusal> {
    Ok(fields::line("name", name, MAX_NAME_CHARS)?)
}

pub(super) fn note(note: Option<&str>) -> Result<(), Refusal> {
    note.map_or(Ok(()), |note| Ok(fields::lines("note", note, MAX_NOTE_CHARS)?))
}

pub(super) fn preferences<'a>(topics: impl ExactSizeIterator<Item = (&'a String, &'a f64)>) -> Result<(), Refusal> {
    if topics.len() > MAX_PREFERENCES {
        unfit("topics", format!("must not be more than {MAX_PREFERENCES}"))?;
    }
    for (topic, weight) in topics {
        fields::word("topics", topic, MAX_WORD_BYTES)?;
        fields::share("topics", *weight)?;
    }
    Ok(())
}
