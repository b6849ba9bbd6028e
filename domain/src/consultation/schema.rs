//! JSON Schemas (2020-12) that askers send, and data that is checked against them.
//!
//! Owns what a schema may be, so that checking ends soon whatever was sent: it refers to nothing but itself, not even in a ring, and what
//! it comes to once every reference is followed is bounded. Patterns are those of a machine without backtracking.

use std::collections::{HashMap, HashSet};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::{
    Refusal,
    validate::{self, invalid},
};

const MAX_SCHEMA_BYTES: usize = 32 * 1024;
/// What a schema may come to, in values, once every reference is followed.
const MAX_EXPANDED: u64 = 1_000;
/// How deep it may be nested so.
const MAX_OPEN: usize = 500;
/// Faults of data that are told.
const TOLD_FAULTS: usize = 5;
const MAX_FAULT_CHARS: usize = 200;
/// What refers to something by other means than a pointer, or gives names to refer to.
const BY_NAME: [&str; 5] = ["$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor", "$anchor"];
/// Keywords that hold data, in which nothing refers to anything.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];
/// Keywords whose members are schemas by name: no name among them is a keyword.
const NAMES: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Checks a schema.
pub(crate) fn check(field: &'static str, schema: &Value) -> Result<(), Refusal> {
    if !(schema.is_object() || schema.is_boolean()) {
        return invalid(field, "must be a JSON Schema: an object, or true or false");
    }
    validate::json(field, schema, MAX_SCHEMA_BYTES)?;
    if schema.get("$schema").is_some_and(|dialect| dialect.as_str().map(|d| d.trim_end_matches('#')) != Some(DIALECT)) {
        return invalid(field, format!("must be of the dialect {DIALECT}"));
    }
    let mut walk = Walk { field, root: schema, costs: HashMap::new(), open: HashSet::new() };
    if walk.cost(schema, false)? > MAX_EXPANDED {
        return invalid(field, format!("comes to more than {MAX_EXPANDED} values once its references are followed"));
    }
    compile(field, schema).map(drop)
}

/// Checks data against a schema that was checked.
pub(crate) fn satisfies(field: &'static str, schema: &Value, data: &Value) -> Result<(), Refusal> {
    let validator = compile(field, schema)?;
    let faults = validator.iter_errors(data).take(TOLD_FAULTS);
    let faults: Vec<String> = faults
        .map(|fault| match fault.instance_path().to_string() {
            path if path.is_empty() => cut(&fault.to_string()),
            path => format!("at {path}: {}", cut(&fault.to_string())),
        })
        .collect();
    if faults.is_empty() {
        Ok(())
    } else {
        invalid(field, format!("does not satisfy the schema: {}", faults.join("; ")))
    }
}

fn compile(field: &'static str, schema: &Value) -> Result<Validator, Refusal> {
    let options =
        jsonschema::draft202012::options().with_pattern_options(PatternOptions::regex()).should_validate_formats(true);
    options.build(schema).or_else(|error| invalid(field, format!("is no JSON Schema: {}", cut(&error.to_string()))))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_FAULT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A walk over a schema and all that it refers to.
struct Walk<'a> {
    field: &'static str,
    root: &'a Value,
    /// By place in memory, and whether its members are names: what each value comes to.
    costs: HashMap<(*const Value, bool), u64>,
    open: HashSet<(*const Value, bool)>,
}

impl<'a> Walk<'a> {
    /// How many values it comes to with all that it refers to; `names`: its members are schemas by name.
    fn cost(&mut self, value: &'a Value, names: bool) -> Result<u64, Refusal> {
        let place = (std::ptr::from_ref(value), names);
        if let Some(known) = self.costs.get(&place) {
            return Ok(*known);
        }
        if !self.open.insert(place) {
            return invalid(self.field, "must not refer to itself in a ring");
        }
        if self.open.len() > MAX_OPEN {
            return invalid(self.field, "is nested too deep once its references are followed");
        }
        let mut cost = 1_u64;
        match value {
            Value::Array(items) => {
                for item in items {
                    cost = cost.saturating_add(self.cost(item, false)?);
                }
            }
            Value::Object(members) => {
                for (key, member) in members {
                    let more = if names { self.cost(member, false)? } else { self.member(value, key, member)? };
                    cost = cost.saturating_add(more);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        self.open.remove(&place);
        self.costs.insert(place, cost);
        Ok(cost)
    }

    fn member(&mut self, holder: &'a Value, key: &str, member: &'a Value) -> Result<u64, Refusal> {
        if key == "$ref" && member.is_string() {
            let target = member.as_str().and_then(|text| text.strip_prefix('#'));
            let target = target.and_then(|pointer| self.root.pointer(&unescaped(pointer)));
            let Some(target) = target else {
                return invalid(
                    self.field,
                    "may refer to nothing but its own parts, by pointers such as `#/$defs/name`",
                );
            };
            return self.cost(target, false);
        }
        let renamed = key == "$id" && !std::ptr::eq(holder, self.root);
        if renamed || (BY_NAME.contains(&key) && member.is_string()) {
            return invalid(self.field, format!("must not use `{key}`: parts are referred to by pointers"));
        }
        if DATA.contains(&key) {
            return Ok(1);
        }
        self.cost(member, NAMES.contains(&key))
    }
}

/// A pointer in a URL's fragment may be escaped as URLs are.
fn unescaped(pointer: &str) -> String {
    let mut bytes = Vec::with_capacity(pointer.len());
    let mut rest = pointer.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
