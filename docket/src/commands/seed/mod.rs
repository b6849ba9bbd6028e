//! `docket seed`

use chrono::{DateTime, Utc};
mod articles;
mod entities;
mod graph;
mod people;
mod reading;
mod shape;
#[cfg(test)]
mod tests;
mod words;
