//! The two files: lines to entities and relationships.
//!
//! Owns the columns, and that every mistake is told with its line. It must not decide what may be said: that is asked of the domain.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::Read;

use csv::{ByteRecord, ReaderBuilder};
use docket_domain::knowledge::{
    AddEntity, AddRelationship, Entity, Refusal, Relationship, add_entity, add_relationship, entity_id,
};
use docket_events::knowledge::{EntityFacts, RelationshipFacts};
use uuid::Uuid;

use super::super::lines::Fault;

/// A file that cannot be read at all.
#[derive(Debug)]
pub enum TableError {
    /// The file itself cannot be read.
    Unreadable(csv::Error),
    /// A column is missing.
    NoColumn(&'static str),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "the file cannot be read: {error}"),
            Self::NoColumn(name) => write!(f, "there is no column `{name}` in the first line"),
        }
    }
}

impl std::error::Error for TableError {}

impl From<csv::Error> for TableError {
    fn from(error: csv::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// What a file holds.
#[derive(Debug)]
pub struct Table<T> {
    /// What can be imported, with its line.
    pub rows: Vec<(u64, T)>,
    /// What cannot.
    pub faults: Vec<Fault>,
}

/// The cells of a line, by column.
struct Line<'a> {
    columns: &'a HashMap<String, usize>,
    cells: &'a ByteRecord,
}

impl Line<'_> {
    fn text(&self, column: &str) -> Result<&str, String> {
        let cell = self.columns.get(column).and_then(|place| self.cells.get(*place)).unwrap_or_default();
        std::str::from_utf8(cell).map_err(|_| format!("`{column}` is not UTF-8"))
    }

    fn optional(&self, column: &str) -> Result<Option<String>, String> {
        Ok(Some(self.text(column)?.to_owned()).filter(|text| !text.is_empty()))
    }

    fn confidence(&self) -> Result<f64, String> {
        match self.text("confidence")? {
            "" => Ok(1.0),
            text => text.parse().map_err(|_| format!("`confidence` must be a number from 0 to 1, and is {text:?}")),
        }
    }
}

/// Reads a file with these columns; what else there is in its first line may be one of the optional ones.
fn read<T>(
    file: impl Read,
    comma: bool,
    needed: &[&'static str],
    mut row: impl FnMut(&Line<'_>) -> Result<T, String>,
) -> Result<Table<T>, TableError> {
    let delimiter = if comma { b',' } else { b'\t' };
    let mut reader = ReaderBuilder::new().delimiter(delimiter).quoting(comma).flexible(true).from_reader(file);
    let header = reader.byte_headers()?.clone();
    let columns: HashMap<String, usize> = header
        .iter()
        .enumerate()
        .map(|(place, name)| (String::from_utf8_lossy(name).trim_start_matches('\u{feff}').to_owned(), place))
        .collect();
    if let Some(missing) = needed.iter().find(|name| !columns.contains_key(**name)) {
        return Err(TableError::NoColumn(missing));
    }
    let (mut rows, mut faults, mut cells) = (Vec::new(), Vec::new(), ByteRecord::new());
    while reader.read_byte_record(&mut cells)? {
        let line = cells.position().map_or(0, csv::Position::line);
        let read = if cells.len() == header.len() {
            row(&Line { columns: &columns, cells: &cells })
        } else {
            Err(format!("there are {} cells where there must be {}", cells.len(), header.len()))
        };
        match read {
            Ok(row) => rows.push((line, row)),
            Err(reason) => faults.push(Fault { line, reason }),
        }
    }
    Ok(Table { rows, faults })
}

fn said(refusal: Option<Refusal>) -> Result<(), String> {
    refusal.map_or(Ok(()), |refusal| Err(refusal.to_string()))
}

/// Entities: `id`, `name`, `type`, and perhaps `confidence` and `source`.
///
/// # Errors
/// See [`TableError`].
pub fn entities(file: impl Read, comma: bool, by: Uuid) -> Result<Table<AddEntity>, TableError> {
    let mut seen = HashSet::new();
    read(file, comma, &["id", "name", "type"], |line| {
        let facts = EntityFacts {
            entity_type: line.text("type")?.to_owned(),
            name: line.text("name")?.to_owned(),
            confidence: line.confidence()?,
            source: line.optional("source")?,
            ..EntityFacts::default()
        };
        let id = line.text("id")?.to_owned();
        let command = AddEntity { facts, external_id: Some(id.clone()), added_by: by };
        said(add_entity(&Entity::default(), &command).refusal)?;
        if !seen.insert(id) {
            return Err("`id` stands in a line before".to_owned());
        }
        Ok(command)
    })
}

/// A relationship as a line has it.
#[derive(Debug)]
pub struct Related {
    /// The command; its ends are named by ids made of the names.
    pub command: AddRelationship,
    /// The names of its ends.
    pub names: [String; 2],
}

/// Relationships: `source`, `type`, `target`, and perhaps `confidence`. The second value counts the lines that relate something to itself,
/// which say nothing and are passed over.
///
/// # Errors
/// See [`TableError`].
pub fn relationships(
    file: impl Read,
    comma: bool,
    (tenant, by): (Uuid, Uuid),
) -> Result<(Table<Related>, u64), TableError> {
    let table = read(file, comma, &["source", "type", "target"], |line| {
        let names = [line.text("source")?.to_owned(), line.text("target")?.to_owned()];
        let [source_id, target_id] = [&names[0], &names[1]].map(|name| entity_id(tenant, name));
        let facts = RelationshipFacts { confidence: line.confidence()?, ..RelationshipFacts::default() };
        let relationship_type = line.text("type")?.to_owned();
        let command = AddRelationship { source_id, relationship_type, target_id, facts, added_by: by };
        if source_id != target_id {
            said(add_relationship(&Relationship::default(), &command).refusal)?;
        }
        Ok(Related { command, names })
    })?;
    let Table { mut rows, faults } = table;
    let before = rows.len();
    rows.retain(|(_, related)| related.command.source_id != related.command.target_id);
    let loops = (before - rows.len()) as u64;
    Ok((Table { rows, faults }, loops))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIL: Uuid = Uuid::nil();

    fn lines(faults: &[Fault]) -> Vec<u64> {
        faults.iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn broken_lines_are_told_with_their_numbers_and_the_rest_is_read() {
        let text = b"id\tname\ttype\tconfidence\n\
            a\tA\tthing\t0.5\nb\tB\tthing\n\tC\tthing\t1\nd\tD\tA Thing\t1\ne\tE\tthing\tNaN\nf\t\xff\tthing\t\na\tA\tthing\t\n\
            g\t\"G\tthing\t\nh\tH\tthing\t1.1\n";
        let table = entities(&text[..], false, NIL).unwrap();
        assert_eq!(lines(&table.faults), [3, 4, 5, 6, 7, 8, 10], "{:?}", table.faults);
        let names: Vec<&str> = table.rows.iter().map(|(_, command)| command.facts.name.as_str()).collect();
        assert_eq!(names, ["A", "\"G"]);
    }

    #[test]
    fn relationships_of_something_to_itself_are_passed_over() {
        let text = b"source,type,target\na,near,b\na,near,a\na,\"is near\",b\n\"a,b\",near,c\n";
        let (table, loops) = relationships(&text[..], true, (NIL, NIL)).unwrap();
        assert_eq!((table.rows.len(), loops, lines(&table.faults)), (2, 1, vec![4]));
        assert_eq!(table.rows[1].1.names, ["a,b", "c"]);
    }

    #[test]
    fn a_file_without_its_columns_is_refused() {
        assert!(matches!(entities(&b"id\tname\n"[..], false, NIL), Err(TableError::NoColumn("type"))));
        assert!(matches!(relationships(&b""[..], false, (NIL, NIL)), Err(TableError::NoColumn("source"))));
    }
}
