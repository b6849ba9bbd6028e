//! The CSV file: rows to cases.
//!
//! Owns the columns and what each may hold; every mistake names its line and column. It must not decide anything.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;

use chrono::{DateTime, SubsecRound, Utc};
use csv::{ByteRecord, ReaderBuilder};

macro_rules! columns {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A column of the file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Column { $(#[doc = $name] $variant),+ }

        impl Column {
            const ALL: &[Self] = &[$(Self::$variant),+];

            /// The column's name in the file's first line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

columns! {
    Case = "case:concept:name",
    Start = "case:startdate",
    Deadline = "case:deadline",
    End = "case:enddate",
    PlannedEnd = "case:enddate_planned",
    Responsible = "case:responsible",
    Channel = "case:channel",
    Department = "case:department",
    CaseGroup = "case:group",
    Task = "concept:instance",
    Step = "concept:name",
    Group = "org:group",
    Resource = "org:resource",
    Time = "time:timestamp",
}

/// The columns that are the case's, and so the same in all of its rows.
const OF_CASE: [Column; 8] = [
    Column::Start,
    Column::Deadline,
    Column::End,
    Column::PlannedEnd,
    Column::Responsible,
    Column::Channel,
    Column::Department,
    Column::CaseGroup,
];

/// One permit request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The case's own name.
    pub id: String,
    /// Where in the file it begins.
    pub line: u64,
    /// When it was asked.
    pub start: DateTime<Utc>,
    /// When it is due.
    pub deadline: DateTime<Utc>,
    /// When it was approved; none where it was not.
    pub end: Option<DateTime<Utc>>,
    /// When it was planned to end.
    pub planned_end: Option<DateTime<Utc>>,
    /// Who approves.
    pub responsible: String,
    /// How it came in.
    pub channel: String,
    /// Who it is for.
    pub department: String,
    /// The group in charge; may be empty.
    pub group: String,
    /// What was done, in the order of the file.
    pub steps: Vec<Step>,
}

/// One step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where in the file.
    pub line: u64,
    /// The step's own id.
    pub task: String,
    /// What was done.
    pub name: String,
    /// The group that did it; may be empty.
    pub group: String,
    /// Who did it.
    pub resource: String,
    /// When.
    pub time: DateTime<Utc>,
}

/// What is wrong in the file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line.
    pub line: u64,
    column: &'static str,
    reason: String,
}

impl Fault {
    fn new(line: u64, column: Column, reason: impl Into<String>) -> Self {
        Self { line, column: column.name(), reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.reason)
    }
}

impl std::error::Error for Fault {}

/// What a file holds.
#[derive(Debug)]
pub struct Table {
    /// The cases that are sound, in the order of their first rows.
    pub cases: Vec<Case>,
    /// The first mistake of each of the others.
    pub faults: Vec<Fault>,
}

/// Reads the whole file: the rows of a case may stand anywhere in it.
///
/// # Errors
/// When a column is missing, or it cannot be told which case a row belongs to: then no case can be trusted to be whole.
pub fn read(file: impl Read) -> anyhow::Result<Table> {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(file);
    let places = places(reader.byte_headers()?)?;
    let mut cases: Vec<Result<Case, Fault>> = Vec::new();
    let mut firsts: Vec<ByteRecord> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record)? {
        let row = Row { line: record.position().map_or(0, csv::Position::line), record: &record, places: &places };
        let id = row.text(Column::Case)?;
        let index = *known.entry(id.to_owned()).or_insert(cases.len());
        if index == cases.len() {
            cases.push(row.case(id));
            firsts.push(record.clone());
        }
        let added = match &mut cases[index] {
            Ok(case) => {
                row.same_case(&firsts[index], case.line).and_then(|()| row.step()).map(|step| case.steps.push(step))
            }
            Err(_) => continue,
        };
        if let Err(fault) = added {
            cases[index] = Err(fault);
        }
    }
    let mut table = Table { cases: Vec::with_capacity(cases.len()), faults: Vec::new() };
    for case in cases {
        match case {
            Ok(case) => table.cases.push(case),
            Err(fault) => table.faults.push(fault),
        }
    }
    Ok(table)
}

/// Where each column stands, by its place in [`Column::ALL`].
fn places(header: &ByteRecord) -> Result<Vec<usize>, Fault> {
    // Spreadsheets like to begin a file with a mark of the byte order.
    let clean = |name: &[u8]| name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name).to_vec();
    let names: Vec<Vec<u8>> = header.iter().map(clean).collect();
    Column::ALL
        .iter()
        .map(|column| {
            let place = names.iter().position(|name| name == column.name().as_bytes());
            place.ok_or_else(|| Fault::new(1, *column, "the file has no such column"))
        })
        .collect()
}

/// A row of the file.
struct Row<'a> {
    line: u64,
    record: &'a ByteRecord,
    places: &'a [usize],
}

impl Row<'_> {
    fn fault(&self, column: Column, reason: impl Into<String>) -> Fault {
        Fault::new(self.line, column, reason)
    }

    fn bytes<'r>(&self, record: &'r ByteRecord, column: Column) -> Result<&'r [u8], Fault> {
        // `places` has one entry for each column, in the order of their declaration.
        record.get(self.places[column as usize]).ok_or_else(|| self.fault(column, "the line ends before this column"))
    }

    /// A text that may be empty.
    fn optional(&self, column: Column) -> Result<&str, Fault> {
        let bytes = self.bytes(self.record, column)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.fault(column, "is not UTF-8"))?;
        Ok(text.trim())
    }

    fn text(&self, column: Column) -> Result<&str, Fault> {
        match self.optional(column)? {
            "" => Err(self.fault(column, "is empty")),
            text => Ok(text),
        }
    }

    fn optional_time(&self, column: Column) -> Result<Option<DateTime<Utc>>, Fault> {
        let text = self.optional(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        let time = DateTime::parse_from_rfc3339(text)
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z"))
            .map_err(|_| {
                self.fault(column, format!("{text:?} is not a time such as 2011-10-11 13:42:22.688000+02:00"))
            })?;
        // The journal keeps microseconds.
        Ok(Some(time.with_timezone(&Utc).trunc_subsecs(6)))
    }

    fn time(&self, column: Column) -> Result<DateTime<Utc>, Fault> {
        self.optional_time(column)?.ok_or_else(|| self.fault(column, "is empty"))
    }

    fn case(&self, id: &str) -> Result<Case, Fault> {
        let end = self.optional_time(Column::End)?;
        Ok(Case {
            id: id.to_owned(),
            line: self.line,
            start: self.time(Column::Start)?,
            deadline: self.time(Column::Deadline)?,
            end,
            planned_end: self.optional_time(Column::PlannedEnd)?,
            responsible: if end.is_some() {
                self.text(Column::Responsible)
            } else {
                self.optional(Column::Responsible)
            }?
            .to_owned(),
            channel: self.text(Column::Channel)?.to_owned(),
            department: self.text(Column::Department)?.to_owned(),
            group: self.optional(Column::CaseGroup)?.to_owned(),
            steps: Vec::new(),
        })
    }

    /// Each row repeats what belongs to its case: two that differ leave open which one is true.
    fn same_case(&self, first: &ByteRecord, line: u64) -> Result<(), Fault> {
        for column in OF_CASE {
            if self.bytes(self.record, column)? != self.bytes(first, column)? {
                return Err(self.fault(column, format!("differs from line {line} of the same case")));
            }
        }
        Ok(())
    }

    fn step(&self) -> Result<Step, Fault> {
        Ok(Step {
            line: self.line,
            task: self.text(Column::Task)?.to_owned(),
            name: self.text(Column::Step)?.to_owned(),
            group: self.optional(Column::Group)?.to_owned(),
            resource: self.text(Column::Resource)?.to_owned(),
            time: self.time(Column::Time)?,
        })
    }
}
