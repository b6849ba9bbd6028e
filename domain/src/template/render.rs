//! What a template comes to: each `{{value}}` in it replaced.
//!
//! A text that is nothing but `{{value}}` becomes the value itself, whatever its type; within a text a value stands as text. `\{{` is no
//! place for a value but the characters `{{`. Owns that what comes of it is bounded, however often a large value is put in.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Value};

use super::{Template, checked, invalid};
use crate::{consultation::schema, identity::Refusal};

/// The most bytes that a request may come to, in texts and JSON.
const MAX_RENDERED_BYTES: usize = 512 * 1024;
/// What refusals are about, as an asker names it.
const FIELD: &str = "template.values";

/// A piece of a text.
enum Piece<'a> {
    Text(Cow<'a, str>),
    /// The place of the value of this name.
    Value(&'a str),
}

fn is_name(name: &str) -> bool {
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The pieces of a text; or the rest of a sentence that begins with the field's name.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        if let Some(before) = before.strip_suffix('\\') {
            pieces.push(Piece::Text(format!("{before}{{{{").into()));
            rest = behind;
            continue;
        }
        let Some((name, behind)) = behind.split_once("}}").filter(|(name, _)| is_name(name.trim())) else {
            return Err(
                "must have the name of a value between `{{` and `}}`; `\\{{` stands for the characters".to_owned()
            );
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.into()));
        }
        pieces.push(Piece::Value(name.trim()));
        rest = behind;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    Ok(pieces)
}

/// The names of the values that a request has places for; or what is wrong with one of the places.
pub(crate) fn names(request: &Value) -> Result<BTreeSet<&str>, String> {
    let mut names = BTreeSet::new();
    let mut rest = vec![request];
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => names.extend(pieces(text)?.into_iter().filter_map(|piece| match piece {
                Piece::Value(name) => Some(name),
                Piece::Text(_) => None,
            })),
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => rest.extend(members.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    Ok(names)
}

/// Whether a part of a request has places for values.
#[must_use]
pub fn has_places(part: &Value) -> bool {
    names(part).is_ok_and(|names| !names.is_empty())
}

/// The request that comes of a template and the values of an asker. What its schema gives a `default` need not be given.
///
/// # Errors
/// [`Refusal::Invalid`] when a value is missing, or has no place, does not satisfy the schema, or when all comes to too much.
pub fn render(template: &Template, values: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let request = Value::from(template.request.clone());
    let names = names(&request).or_else(|reason| invalid("template", reason))?;
    if let Some(name) = values.keys().find(|name| !names.contains(name.as_str())) {
        return invalid(FIELD, format!("must not hold `{name}`: the template has no place for it"));
    }
    let properties = template.values.as_ref().and_then(|schema| schema.get("properties"));
    let default = |name: &str| properties.and_then(|properties| properties.get(name)?.get("default"));
    let mut all = Map::new();
    for name in names {
        match values.get(name).or_else(|| default(name)) {
            Some(value) => drop(all.insert(name.to_owned(), value.clone())),
            None => return invalid(FIELD, format!("must hold `{name}`")),
        }
    }
    let all = Value::from(all);
    if let Some(schema) = &template.values {
        checked(schema::satisfies(FIELD, schema, &all))?;
    }
    let mut filling = Filling { values: all.as_object().unwrap_or(values), left: MAX_RENDERED_BYTES };
    let members = template.request.iter().map(|(key, value)| Ok((key.clone(), filling.fill(value)?)));
    members.collect()
}

/// A part with its places filled. A value that is not there stands as nothing.
///
/// # Errors
/// [`Refusal::Invalid`] when all comes to too much.
pub(crate) fn fill(part: &Value, values: &Map<String, Value>) -> Result<Value, Refusal> {
    Filling { values, left: MAX_RENDERED_BYTES }.fill(part)
}

/// Values that are put into their places, while there is room.
struct Filling<'a> {
    values: &'a Map<String, Value>,
    left: usize,
}

impl Filling<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => return invalid(FIELD, format!("make the request longer than {MAX_RENDERED_BYTES} bytes")),
        }
        Ok(())
    }

    fn fill(&mut self, value: &Value) -> Result<Value, Refusal> {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(members) => {
                let filled = members.iter().map(|(key, member)| Ok((key.clone(), self.fill(member)?)));
                filled.collect::<Result<Map<_, _>, _>>().map(Value::from)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
        }
    }

    fn text(&mut self, text: &str) -> Result<Value, Refusal> {
        let pieces = pieces(text).or_else(|reason| invalid("template", reason))?;
        if let [Piece::Value(name)] = pieces.as_slice() {
            let value = self.values.get(*name).cloned().unwrap_or_default();
            self.take(value.to_string().len())?;
            return Ok(value);
        }
        let mut filled = String::new();
        for piece in pieces {
            let piece = match piece {
                Piece::Text(text) => text,
                Piece::Value(name) => as_text(self.values.get(name)),
            };
            self.take(piece.len())?;
            filled.push_str(&piece);
        }
        Ok(filled.into())
    }
}

/// A value within a text.
fn as_text(value: Option<&Value>) -> Cow<'_, str> {
    match value {
        None | Some(Value::Null) => "".into(),
        Some(Value::String(text)) => text.into(),
        Some(other) => other.to_string().into(),
    }
}
