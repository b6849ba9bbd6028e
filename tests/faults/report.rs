//! What is told of a run: violations in words, and how many checks passed.

use std::{collections::BTreeMap, fmt};

/// How many differences of one check are shown.
const SHOWN: usize = 5;

/// A promise that was not kept.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The check that saw it.
    pub check: &'static str,
    /// What differs.
    pub text: String,
}

/// Everything that a check found.
#[derive(Debug, Clone, Default)]
pub struct Findings(Vec<Violation>);

impl Findings {
    /// Adds a difference.
    pub fn add(&mut self, check: &'static str, text: impl Into<String>) {
        self.0.push(Violation { check, text: text.into() });
    }

    /// Adds differences that one check found.
    pub fn add_all(&mut self, check: &'static str, texts: impl IntoIterator<Item = String>) {
        self.0.extend(texts.into_iter().map(|text| Violation { check, text }));
    }

    /// Whether every promise was kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a promise was broken: a fault that did not come about breaks none.
    pub fn is_violation(&self) -> bool {
        self.0.iter().any(|violation| violation.check != "fault")
    }

    /// The checks that found something, each with how much.
    pub fn checks(&self) -> BTreeMap<&'static str, usize> {
        let mut checks = BTreeMap::new();
        for violation in &self.0 {
            *checks.entry(violation.check).or_default() += 1;
        }
        checks
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (check, count) in self.checks() {
            writeln!(f, "     {check}: {count} {}", if count == 1 { "difference" } else { "differences" })?;
            for violation in self.0.iter().filter(|violation| violation.check == check).take(SHOWN) {
                writeln!(f, "       - {:.900}", violation.text)?;
            }
        }
        Ok(())
    }
}

/// Passed and failed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Checks that passed.
    pub passed: u32,
    /// Checks that failed.
    pub failed: u32,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}
