//! The table that a run ends with, and the statistics behind its cells.

use std::time::Duration;

/// What a figure is measured against.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The ratio may be at most this.
    AtMost(f64),
    /// The ratio must be at least this.
    AtLeast(f64),
    /// No target: the figure is for information.
    None,
}

impl Target {
    fn text(self) -> String {
        match self {
            Self::AtMost(bound) => format!("<= {bound}"),
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::None => String::new(),
        }
    }

    fn verdict(self, value: f64) -> &'static str {
        match self {
            Self::AtMost(bound) if value > bound => "missed",
            Self::AtLeast(bound) if value < bound => "missed",
            Self::None => "",
            Self::AtMost(_) | Self::AtLeast(_) => "met",
        }
    }
}

/// The rows of the table, printed as they come and once more at the end.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<String>,
}

impl Report {
    /// An empty report.
    pub fn new() -> Self {
        Self::default()
    }

    /// A figure beside its yardstick; the target is on `ratio`.
    pub fn row(&mut self, figure: &str, value: String, yardstick: String, ratio: f64, target: Target) {
        let row = format!(
            "| {figure} | {value} | {yardstick} | {ratio:.2} | {} | {} |",
            target.text(),
            target.verdict(ratio)
        );
        println!("{row}");
        self.rows.push(row);
    }

    /// Prints the whole table as Markdown.
    pub fn print(&self) {
        println!("\n| figure | measured | yardstick, same run | ratio | target | |\n|---|---|---|---|---|---|");
        for row in &self.rows {
            println!("{row}");
        }
    }
}

/// Latencies of one measurement.
#[derive(Debug, Clone, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// The latencies, in any order.
    pub fn new(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// The given quantile (0 to 1) in milliseconds.
    pub fn ms(&self, quantile: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        let last = self.0.len() - 1;
        self.0[((last as f64) * quantile).round() as usize].as_secs_f64() * 1e3
    }
}
