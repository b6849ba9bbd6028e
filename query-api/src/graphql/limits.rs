//! What one GraphQL document may ask for, before it is executed: tokens, depth, aliases, fields, and which operation it is.
//!
//! Owns these figures. Cost is judged by the schema, which knows the sizes of pages. Every check is linear in the text: fragments
//! are measured once, however often they are spread.

use std::collections::HashMap;

use async_graphql::{
    Name, Pos, Positioned, ServerError,
    parser::{
        parse_query,
        types::{
            DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition, OperationType, Selection,
            SelectionSet,
        },
    },
};

use super::error::{BAD_REQUEST, FORBIDDEN, TOO_COMPLEX, refusal};

/// The longest document, in tokens.
pub const TOKENS: usize = 2_000;
/// The deepest nesting of fields.
pub const DEPTH: usize = 8;
/// The deepest nesting of fields under `__schema` and `__type`.
pub const INTROSPECTION_DEPTH: usize = 15;
/// The most aliases.
pub const ALIASES: usize = 30;
/// The most fields, fragments spread out.
pub const FIELDS: usize = 2_000;

/// Reads a document within the limits, and tells what kind of operation it is.
///
/// # Errors
/// An error with a code when it is not GraphQL, names no operation, or asks for too much.
pub fn check(
    query: &str,
    operation_name: Option<&str>,
    introspection: bool,
) -> Result<(ExecutableDocument, OperationType), ServerError> {
    if tokens(query, TOKENS) > TOKENS {
        return Err(refusal(TOO_COMPLEX, format!("A document may have at most {TOKENS} tokens."), None));
    }
    let document = parse_query(query).map_err(|error| {
        let error = ServerError::from(error);
        refusal(BAD_REQUEST, error.message, error.locations.first().copied())
    })?;
    let mut total = Measure::default();
    let mut fragments = Fragments { definitions: &document.fragments, known: HashMap::new() };
    // Operations that are not executed are validated all the same.
    for (_, operation) in document.operations.iter() {
        total = total.beside(fragments.selection(&operation.node.selection_set.node)?);
    }
    total.judge(introspection)?;
    let kind = operation(&document, operation_name)?.node.ty;
    Ok((document, kind))
}

fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a Positioned<OperationDefinition>, ServerError> {
    let missing = |message: String| refusal(BAD_REQUEST, message, None);
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Ok(operation),
        (DocumentOperations::Single(_), Some(name)) => Err(missing(format!("There is no operation {name:?}."))),
        (DocumentOperations::Multiple(operations), Some(name)) => {
            operations.get(name).ok_or_else(|| missing(format!("There is no operation {name:?}.")))
        }
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next().ok_or_else(|| missing("There is no operation.".to_owned()))
        }
        (DocumentOperations::Multiple(_), None) => Err(missing("Name one of the operations.".to_owned())),
    }
}

/// How much a selection asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Measure {
    depth: usize,
    introspection: usize,
    aliases: usize,
    fields: usize,
}

impl Measure {
    fn beside(self, other: Self) -> Self {
        Self {
            depth: self.depth.max(other.depth),
            introspection: self.introspection.max(other.introspection),
            aliases: self.aliases.saturating_add(other.aliases),
            fields: self.fields.saturating_add(other.fields),
        }
    }

    /// As the selection of one field.
    fn under(self, name: &str, aliased: bool) -> Self {
        let deepest = self.depth.max(self.introspection);
        let (depth, introspection) = match (name, self.introspection) {
            ("__schema" | "__type", _) => (0, deepest + 1),
            (_, 0) => (self.depth + 1, 0),
            (_, introspection) => (self.depth + 1, introspection + 1),
        };
        Self {
            depth,
            introspection,
            aliases: self.aliases.saturating_add(usize::from(aliased)),
            fields: self.fields.saturating_add(1),
        }
    }

    fn judge(self, introspection: bool) -> Result<(), ServerError> {
        let too_much = |what: String| Err(refusal(TOO_COMPLEX, what, None));
        if self.introspection > 0 && !introspection {
            return Err(refusal(FORBIDDEN, "Introspection is off; the schema is at /schema.graphql.", None));
        }
        if self.depth > DEPTH {
            return too_much(format!("Fields may be nested {DEPTH} deep at most."));
        }
        if self.introspection > INTROSPECTION_DEPTH {
            return too_much(format!("Introspection may be nested {INTROSPECTION_DEPTH} deep at most."));
        }
        if self.aliases > ALIASES {
            return too_much(format!("A request may use at most {ALIASES} aliases."));
        }
        if self.fields > FIELDS {
            return too_much(format!("A request may select at most {FIELDS} fields."));
        }
        Ok(())
    }
}

struct Fragments<'a> {
    definitions: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    /// None while a fragment is being measured: met again, it spreads itself.
    known: HashMap<&'a str, Option<Measure>>,
}

impl<'a> Fragments<'a> {
    fn selection(&mut self, set: &'a SelectionSet) -> Result<Measure, ServerError> {
        let mut total = Measure::default();
        for selection in &set.items {
            let one = match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    self.selection(&field.selection_set.node)?.under(&field.name.node, field.alias.is_some())
                }
                Selection::InlineFragment(inline) => self.selection(&inline.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => self.spread(&spread.node.fragment_name.node, selection.pos)?,
            };
            total = total.beside(one);
        }
        Ok(total)
    }

    fn spread(&mut self, name: &str, at: Pos) -> Result<Measure, ServerError> {
        let definitions = self.definitions;
        let Some((name, definition)) = definitions.get_key_value(name) else {
            return Err(refusal(BAD_REQUEST, format!("There is no fragment {name:?}."), Some(at)));
        };
        match self.known.get(name.as_str()) {
            Some(Some(measure)) => return Ok(*measure),
            Some(None) => {
                return Err(refusal(
                    BAD_REQUEST,
                    format!("The fragment {:?} spreads itself.", name.as_str()),
                    Some(at),
                ));
            }
            None => {}
        }
        self.known.insert(name.as_str(), None);
        let measure = self.selection(&definition.node.selection_set.node)?;
        self.known.insert(name.as_str(), Some(measure));
        Ok(measure)
    }
}

/// Counts lexical tokens, up to one more than `enough`. What is no GraphQL counts too: the parser refuses it.
fn tokens(text: &str, enough: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() && count <= enough {
        let start = at;
        at += 1;
        match bytes[start] {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => continue,
            b'#' => {
                at += bytes[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len() - at);
                continue;
            }
            b'"' => at = end_of_string(bytes, start),
            b'.' => at += bytes[at..].iter().take(2).take_while(|byte| **byte == b'.').count(),
            byte if is_word(byte) => {
                at += bytes[at..].iter().take_while(|byte| is_word(**byte) || **byte == b'.').count()
            }
            _ => {}
        }
        count += 1;
    }
    count
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+') || byte >= 0x80
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let block = bytes[start..].starts_with(br#"""""#);
    let mut at = start + if block { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if block && bytes[at..].starts_with(br#"\""""#) => at += 4,
            b'\\' if !block => at += 2,
            b'"' if !block => return at + 1,
            b'"' if bytes[at..].starts_with(br#"""""#) => return at + 3,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::error::code;

    fn refused(query: &str) -> Option<String> {
        check(query, None, true).err().and_then(|error| code(&error).map(str::to_owned))
    }

    fn nested(depth: usize, root: &str) -> String {
        format!("{{{root}{}{}}}", "{a".repeat(depth - 1), "}".repeat(depth - 1))
    }

    #[test]
    fn depth_is_eight_and_fifteen_for_introspection() {
        assert_eq!(refused(&nested(8, "a")), None);
        assert_eq!(refused(&nested(9, "a")).as_deref(), Some(TOO_COMPLEX));
        assert_eq!(refused(&nested(15, "__schema")), None);
        assert_eq!(refused(&nested(16, "__schema")).as_deref(), Some(TOO_COMPLEX));
    }

    #[test]
    fn depth_counts_through_fragments() {
        let query = "{a{a{a{a{...F}}}}} fragment F on A {a{a{a{a{a}}}}}";
        assert_eq!(refused(query).as_deref(), Some(TOO_COMPLEX));
    }

    #[test]
    fn aliases_count_through_fragments() {
        let aliases = |count| (0..count).map(|n| format!("x{n}:a ")).collect::<String>();
        assert_eq!(refused(&format!("{{{}}}", aliases(30))), None);
        assert_eq!(refused(&format!("{{{}}}", aliases(31))).as_deref(), Some(TOO_COMPLEX));
        let spread = format!("{{a{{...F}} b{{...F}} c{{...F}} d{{...F}}}} fragment F on A {{{}}}", aliases(10));
        assert_eq!(refused(&spread).as_deref(), Some(TOO_COMPLEX));
    }

    #[test]
    fn fragments_that_multiply_are_refused_at_once() {
        let mut query = "{...F0}".to_owned();
        for n in 0..100 {
            query.push_str(&format!("fragment F{n} on A {{...F{} ...F{}}}", n + 1, n + 1));
        }
        query.push_str("fragment F100 on A {a}");
        assert_eq!(refused(&query).as_deref(), Some(TOO_COMPLEX));
    }

    #[test]
    fn fragments_that_spread_themselves_or_nothing_are_refused() {
        assert_eq!(refused("{...F} fragment F on A {a{...G}} fragment G on A {...F}").as_deref(), Some(BAD_REQUEST));
        assert_eq!(refused("{...F}").as_deref(), Some(BAD_REQUEST));
    }

    #[test]
    fn tokens_are_counted_as_the_language_has_them() {
        for (text, count) in [
            ("", 0),
            ("{ a }", 3),
            ("{a(b:1.5,c:-2)...F}#x y z", 13),
            (r#"{a(b:"x \" y {")}"#, 8),
            (r#"{a(b:"""x " \""" y""")}"#, 8),
            (r#"""#, 1),
        ] {
            assert_eq!(tokens(text, TOKENS), count, "{text}");
        }
        assert_eq!(refused(&format!("{{{}}}", "a ".repeat(1_998))), None);
        assert_eq!(refused(&format!("{{{}}}", "a ".repeat(1_999))).as_deref(), Some(TOO_COMPLEX));
    }

    #[test]
    fn what_is_not_graphql_is_a_bad_request() {
        for text in ["", "{", "nonsense", "{a}}", "\u{0}", &"{".repeat(1_900)] {
            assert_eq!(refused(text).as_deref(), Some(BAD_REQUEST), "{text}");
        }
    }

    #[test]
    fn the_operation_is_the_one_that_is_named() {
        let kind = |name| check("query A {a} subscription B {b}", name, true).map(|(_, kind)| kind).ok();
        assert_eq!(kind(Some("A")), Some(OperationType::Query));
        assert_eq!(kind(Some("B")), Some(OperationType::Subscription));
        assert_eq!(kind(Some("C")), None);
        assert_eq!(kind(None), None);
    }

    #[test]
    fn introspection_is_forbidden_when_it_is_off_and_typename_is_not() {
        let refused = |query| check(query, None, false).err().and_then(|error| code(&error).map(str::to_owned));
        assert_eq!(refused("{__schema{types{name}}}").as_deref(), Some(FORBIDDEN));
        assert_eq!(refused("{a{...F}} fragment F on A {__type(name:\"A\"){name}}").as_deref(), Some(FORBIDDEN));
        assert_eq!(refused("{__typename}"), None);
    }
}
