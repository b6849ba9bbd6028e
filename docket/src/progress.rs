//! How far long work is: a bar with an estimate where somebody watches, a line now and then where the output is kept.
//!
//! Owns its looks. Everything goes to standard error: standard output is for results.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is printed where there is no terminal.
const PERIOD: Duration = Duration::from_secs(10);

/// One long work.
pub struct Progress {
    /// What is done with the events: `rebuilt`.
    done: &'static str,
    bar: ProgressBar,
    /// When the last line was printed; none: there is a bar.
    printed: Option<Mutex<Instant>>,
    began: Instant,
}

impl Progress {
    /// Begins; `done` says what becomes of events, such as `rebuilt`.
    pub fn new(done: &'static str) -> Self {
        let watched = std::io::stderr().is_terminal();
        let bar = if watched { ProgressBar::no_length() } else { ProgressBar::hidden() };
        // The template is a literal: a mistake in it would only cost its looks.
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} to go") {
            bar.set_style(style);
        }
        let began = Instant::now();
        Self { done, bar, printed: (!watched).then(|| Mutex::new(began)), began }
    }

    /// Something was done before: the estimate counts from here.
    pub fn begin(&self, before: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(before);
        self.bar.reset_eta();
    }

    /// So many of so many events are done.
    pub fn at(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        let Some(printed) = &self.printed else { return };
        let mut printed = printed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if printed.elapsed() >= PERIOD {
            *printed = Instant::now();
            eprintln!("{} {done} of {total} events after {} s", self.done, self.began.elapsed().as_secs());
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
