//! Strictness that the JSON parser does not have: depth, duplicate keys, characters that no database keeps.
//!
//! Owns these checks and the plain wording of parse errors. It must not recurse before the depth is known.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// How deep arrays and objects may be nested.
pub const DEPTH_LIMIT: usize = 64;

/// Where arrays and objects are nested deeper than [`DEPTH_LIMIT`], if they are: the first byte too deep. In constant memory.
pub fn too_deep_at(text: &[u8]) -> Option<usize> {
    let mut outline = Outline::default();
    text.iter().enumerate().find_map(|(at, byte)| {
        outline.take(at, *byte);
        (outline.depth > DEPTH_LIMIT).then_some(at)
    })
}

/// The field of the outermost object that the byte at `stop` lies in, for text that cannot be parsed; `$` outside any.
pub fn field_at(text: &[u8], stop: usize) -> String {
    let mut outline = Outline::default();
    for (at, byte) in text.iter().enumerate().take(stop) {
        outline.take(at, *byte);
    }
    match outline.field {
        Some((from, to)) => String::from_utf8_lossy(&text[from..to]).into_owned(),
        None => "$".to_owned(),
    }
}

/// Follows strings and nesting byte by byte, and where the current field of the outermost object is named.
#[derive(Default)]
struct Outline {
    depth: usize,
    in_string: bool,
    escaped: bool,
    string: (usize, usize),
    field: Option<(usize, usize)>,
}

impl Outline {
    fn take(&mut self, at: usize, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    self.string.1 = at;
                }
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.string = (at + 1, at + 1);
            }
            b':' if self.depth == 1 => self.field = Some(self.string),
            b',' if self.depth == 1 => self.field = None,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// What is wrong with JSON that can be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// An object has a key twice.
    DuplicateKey,
    /// A string or a key holds U+0000, which PostgreSQL cannot keep.
    NulCharacter,
}

/// Why a text was refused.
#[derive(Debug)]
pub enum Refused {
    /// It is not JSON.
    Syntax(serde_json::Error),
    /// It is JSON, but flawed at this path.
    Flawed(Flaw, String),
}

/// Checks a whole text of bounded depth (see [`too_deep_at`]).
pub fn check(text: &str) -> Result<(), Refused> {
    let mut walk = Walk { path: Vec::new(), flaw: None };
    let mut parser = serde_json::Deserializer::from_str(text);
    let result = Seed(&mut walk).deserialize(&mut parser).and_then(|()| parser.end());
    match (result, walk.flaw) {
        (_, Some(flaw)) => Err(Refused::Flawed(flaw, render(&walk.path))),
        (Err(error), None) => Err(Refused::Syntax(error)),
        (Ok(()), None) => Ok(()),
    }
}

#[derive(Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// The path of the root is `$`.
fn render(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            // Writing to a string cannot fail.
            Step::Index(index) => {
                let _ = write!(text, "[{index}]");
            }
        }
    }
    if text.is_empty() { "$".to_owned() } else { text }
}

#[derive(Debug)]
struct Walk {
    /// Where the walk is; where it stopped, after a flaw.
    path: Vec<Step>,
    flaw: Option<Flaw>,
}

impl Walk {
    fn flawed<E: de::Error>(&mut self, flaw: Flaw) -> E {
        self.flaw = Some(flaw);
        E::custom("flawed")
    }

    fn string<E: de::Error>(&mut self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(self.flawed(Flaw::NulCharacter)) } else { Ok(()) }
    }
}

struct Seed<'w>(&'w mut Walk);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.0.string(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            self.0.path.push(Step::Index(index));
            let item = items.next_element_seed(Seed(self.0))?;
            self.0.path.pop();
            index += 1;
            if item.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(Key(key)) = entries.next_key()? {
            let nul = key.contains('\0');
            self.0.path.push(Step::Key(key.replace('\0', "\u{fffd}")));
            if nul {
                return Err(self.0.flawed(Flaw::NulCharacter));
            }
            if !seen.insert(key) {
                return Err(self.0.flawed(Flaw::DuplicateKey));
            }
            entries.next_value_seed(Seed(self.0))?;
            self.0.path.pop();
        }
        Ok(())
    }
}

/// Keys without a copy where they have no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The field in messages such as ``missing field `title` ``.
pub fn named_field(message: &str) -> Option<&str> {
    ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.split_once('`'))
        .map(|(name, _)| name)
}

/// A parse error in plain words: without the position (a path is given) and without names of our types.
pub fn plain(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let expected = match expected {
        name if name.starts_with("struct ") || name == "a map" => "an object",
        name if name.starts_with("tuple ") || name == "a sequence" => "an array",
        "unit variant" | "string or map" | "variant identifier" => "a string",
        name if name.starts_with("enum ") => "a string",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        other => other,
    };
    let found = found.replace("invalid type: map", "invalid type: object");
    let found = found.replace("invalid type: sequence", "invalid type: array");
    format!("{found}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_lies_in_a_field_of_the_outermost_object() {
        let text = br#"{"title":"a,b:c","context":{"x":["y"]},"body":1}"#;
        let field = |needle: &str| {
            let at = text.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap();
            field_at(text, at)
        };
        assert_eq!((field("a,b").as_str(), field("y").as_str(), field("1").as_str()), ("title", "context", "body"));
        assert_eq!(field_at(text, 0), "$");
        assert_eq!(field_at(b"[[1]]", 3), "$");
    }

    fn flaw(text: &str) -> Option<(Flaw, String)> {
        match check(text) {
            Err(Refused::Flawed(flaw, path)) => Some((flaw, path)),
            _ => None,
        }
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(too_deep_at(nested(DEPTH_LIMIT).as_bytes()), None);
        assert!(too_deep_at(nested(DEPTH_LIMIT + 1).as_bytes()).is_some());
        assert_eq!(too_deep_at(format!(r#""{}""#, "[".repeat(1_000)).as_bytes()), None);
        assert_eq!(too_deep_at(format!(r#""\"{}""#, "[".repeat(1_000)).as_bytes()), None);
        assert!(too_deep_at(format!(r#"["\\",{}"#, "{".repeat(64)).as_bytes()).is_some());
        assert!(too_deep_at("[".repeat(1_000_000).as_bytes()).is_some());
    }

    #[test]
    fn duplicate_keys_are_found_wherever_they_are_and_however_written() {
        assert_eq!(flaw(r#"{"a":1,"a":2}"#), Some((Flaw::DuplicateKey, "a".to_owned())));
        assert_eq!(
            flaw(r#"{"context":{"items":[0,{"a":1,"\u0061":2}]}}"#),
            Some((Flaw::DuplicateKey, "context.items[1].a".to_owned()))
        );
        assert!(check(r#"{"a":{"b":1},"c":{"b":1}}"#).is_ok());
    }

    #[test]
    fn nul_characters_are_found_in_keys_and_values() {
        assert_eq!(flaw(r#"{"a":["x","\u0000"]}"#), Some((Flaw::NulCharacter, "a[1]".to_owned())));
        assert_eq!(flaw(r#"{"\u0000":1}"#).map(|flaw| flaw.0), Some(Flaw::NulCharacter));
        assert_eq!(flaw(r#""\u0000""#), Some((Flaw::NulCharacter, "$".to_owned())));
    }

    #[test]
    fn what_is_not_json_is_a_syntax_error() {
        for text in ["", "{", "[1,]", "{} {}", "nul", r#""\ud800""#, "1e999", "\u{feff}{}", "{'a':1}"] {
            assert!(matches!(check(text), Err(Refused::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn messages_name_no_types_of_ours() {
        assert_eq!(
            plain("invalid type: sequence, expected struct RequestBody at line 1 column 2"),
            "invalid type: array, expected an object"
        );
        assert_eq!(
            plain("invalid type: string \"x\", expected u32"),
            "invalid type: string \"x\", expected a whole number that is not negative"
        );
    }
}
