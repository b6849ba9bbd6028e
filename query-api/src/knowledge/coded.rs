//! What relationships in memory have in common, kept once: the names of their types, and how sure they are.
//!
//! Owns how wide the numbers are that stand for values: a byte as long as there are no more than 256 values, else two. Graphs have millions of
//! relationships and few types, and few confidences.

use std::collections::HashMap;

use super::adjacency::{Edge, TooLarge};

/// A number for each relationship, by its place.
#[derive(Debug, Default)]
struct Numbers {
    narrow: Vec<u8>,
    /// All of them, once one of them is no byte.
    wide: Vec<u16>,
}

impl Numbers {
    fn push(&mut self, number: u16) {
        match u8::try_from(number) {
            Ok(number) if self.wide.is_empty() => self.narrow.push(number),
            _ => self.widened().push(number),
        }
    }

    fn set(&mut self, edge: Edge, number: u16) {
        match u8::try_from(number) {
            Ok(number) if self.wide.is_empty() => self.narrow[edge as usize] = number,
            _ => self.widened()[edge as usize] = number,
        }
    }

    fn get(&self, edge: Edge) -> usize {
        if self.wide.is_empty() {
            usize::from(self.narrow[edge as usize])
        } else {
            usize::from(self.wide[edge as usize])
        }
    }

    fn len(&self) -> usize {
        self.narrow.len().max(self.wide.len())
    }

    fn bytes(&self) -> usize {
        self.narrow.len() + size_of::<u16>() * self.wide.len()
    }

    fn widened(&mut self) -> &mut Vec<u16> {
        self.wide.extend(std::mem::take(&mut self.narrow).into_iter().map(u16::from));
        &mut self.wide
    }
}

/// The types of relationships.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    names: Vec<String>,
    known: HashMap<String, u16>,
    numbers: Numbers,
}

impl Kinds {
    /// One more relationship, of this type.
    pub(super) fn push(&mut self, name: &str) -> Result<(), TooLarge> {
        let number = self.number(name)?;
        self.numbers.push(number);
        Ok(())
    }

    /// A relationship is of this type from now on.
    pub(super) fn set(&mut self, edge: Edge, name: &str) -> Result<(), TooLarge> {
        let number = self.number(name)?;
        self.numbers.set(edge, number);
        Ok(())
    }

    /// The type of a relationship.
    pub(super) fn get(&self, edge: Edge) -> &str {
        &self.names[self.numbers.get(edge)]
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.numbers.bytes()
    }

    fn number(&mut self, name: &str) -> Result<u16, TooLarge> {
        if let Some(number) = self.known.get(name) {
            return Ok(*number);
        }
        let number = u16::try_from(self.names.len()).map_err(|_| TooLarge)?;
        self.names.push(name.to_owned());
        self.known.insert(name.to_owned(), number);
        Ok(number)
    }
}

/// How sure relationships are.
#[derive(Debug, Default)]
pub(super) struct Confidences {
    values: Vec<f32>,
    /// The numbers of the values, by their bits.
    known: HashMap<u32, u16>,
    numbers: Numbers,
    /// All of them in place of numbers, once there are too many values.
    whole: Vec<f32>,
}

impl Confidences {
    /// One more relationship, that is so sure.
    pub(super) fn push(&mut self, confidence: f32) {
        match self.number(confidence) {
            Some(number) => self.numbers.push(number),
            None => self.whole.push(confidence),
        }
    }

    /// A relationship is so sure from now on.
    pub(super) fn set(&mut self, edge: Edge, confidence: f32) {
        match self.number(confidence) {
            Some(number) => self.numbers.set(edge, number),
            None => self.whole[edge as usize] = confidence,
        }
    }

    /// How sure a relationship is.
    pub(super) fn get(&self, edge: Edge) -> f32 {
        if self.whole.is_empty() { self.values[self.numbers.get(edge)] } else { self.whole[edge as usize] }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.numbers.bytes() + size_of::<f32>() * self.whole.len()
    }

    /// The number of a value; none: values have none any more.
    fn number(&mut self, confidence: f32) -> Option<u16> {
        if !self.whole.is_empty() {
            return None;
        }
        let bits = confidence.to_bits();
        if let Some(number) = self.known.get(&bits) {
            return Some(*number);
        }
        if let Ok(number) = u16::try_from(self.values.len()) {
            self.known.insert(bits, number);
            self.values.push(confidence);
            return Some(number);
        }
        let edges = 0..self.numbers.len() as Edge;
        self.whole = edges.map(|edge| self.values[self.numbers.get(edge)]).collect();
        (self.values, self.known, self.numbers) = Default::default();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that can be told apart by a number.
    const MOST: usize = 1 << 16;

    #[test]
    fn types_stay_what_they_are_when_there_are_too_many_for_a_byte() {
        let mut kinds = Kinds::default();
        for n in 0..300 {
            kinds.push(&format!("kind {n}")).unwrap();
            assert_eq!(kinds.bytes(), if n < 256 { n + 1 } else { 2 * (n + 1) });
        }
        kinds.set(0, "kind 299").unwrap();
        kinds.set(299, "kind 0").unwrap();
        let found: Vec<&str> = [0, 1, 255, 256, 299].map(|edge| kinds.get(edge)).into();
        assert_eq!(found, ["kind 299", "kind 1", "kind 255", "kind 256", "kind 0"]);
    }

    #[test]
    fn a_graph_has_no_more_types_than_can_be_told_apart() {
        let mut kinds = Kinds::default();
        assert!((0..MOST).all(|n| kinds.push(&n.to_string()).is_ok()));
        assert_eq!(kinds.push("one more"), Err(TooLarge));
        assert_eq!(kinds.push("7"), Ok(()));
    }

    #[test]
    fn confidences_stay_what_they_are_however_many_there_are() {
        let value = |n: usize| n as f32 / 100_000.0;
        let mut confidences = Confidences::default();
        for n in 0..MOST + 10 {
            confidences.push(value(n));
            let each = if n < 256 {
                1
            } else if n < MOST {
                2
            } else {
                4
            };
            assert_eq!(confidences.bytes(), each * (n + 1));
            assert_eq!(confidences.get(n as Edge), value(n));
        }
        assert_eq!([0, 255, 256, MOST - 1].map(|n| confidences.get(n as Edge)), [0, 255, 256, MOST - 1].map(value));
        confidences.set(3, 0.25);
        assert_eq!([confidences.get(3), confidences.get(4)], [0.25, value(4)]);
    }
}
