//! Files of lines: which of them are broken, and what becomes of the others.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;

use crate::exit::Ending;

/// A line that is not imported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Which.
    pub line: u64,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Opens a file.
///
/// # Errors
/// When it cannot be opened.
pub fn opened(path: &Path) -> anyhow::Result<BufReader<File>> {
    Ok(BufReader::new(File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?))
}

/// Tells of every broken line of some files, and refuses unless they are to be skipped.
///
/// # Errors
/// When a line is broken and `skip_bad` is not set.
pub fn refuse_bad(files: &[(&Path, &[Fault])], skip_bad: bool) -> anyhow::Result<()> {
    for (file, faults) in files {
        for fault in *faults {
            eprintln!("docket: {}, {fault}", file.display());
        }
    }
    match files.iter().map(|(_, faults)| faults.len()).sum() {
        0 => Ok(()),
        _ if skip_bad => Ok(()),
        lines => {
            let lines: usize = lines;
            let lines = if lines == 1 { "one line is".to_owned() } else { format!("{lines} lines are") };
            Err(Ending::refused(format!("{lines} broken, and nothing was imported; --skip-bad imports the others"))
                .into())
        }
    }
}
