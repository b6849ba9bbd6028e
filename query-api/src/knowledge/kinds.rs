//! The types of relationships in memory: each name once, and of each relationship the number of its name.
//!
//! Owns how wide numbers are: a byte as long as there are no more than 256 types, which spares a byte for each of millions of relationships.

use std::collections::HashMap;

use super::adjacency::{Edge, TooLarge};

/// Types that can be told apart.
const MOST: usize = 1 << 16;

/// The types of all relationships, by their places.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    names: Vec<String>,
    numbers: HashMap<String, u16>,
    places: Places,
}

#[derive(Debug)]
enum Places {
    Narrow(Vec<u8>),
    Wide(Vec<u16>),
}

impl Default for Places {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Kinds {
    /// One more relationship, of type `name`.
    pub(super) fn push(&mut self, name: &str) -> Result<(), TooLarge> {
        let number = self.number(name)?;
        match &mut self.places {
            // A number that does not fit has made them wide.
            Places::Narrow(places) => places.push(number as u8),
            Places::Wide(places) => places.push(number),
        }
        Ok(())
    }

    /// A relationship is of type `name` from now on.
    pub(super) fn set(&mut self, edge: Edge, name: &str) -> Result<(), TooLarge> {
        let number = self.number(name)?;
        match &mut self.places {
            Places::Narrow(places) => places[edge as usize] = number as u8,
            Places::Wide(places) => places[edge as usize] = number,
        }
        Ok(())
    }

    /// The type of a relationship.
    pub(super) fn of(&self, edge: Edge) -> &str {
        let number = match &self.places {
            Places::Narrow(places) => usize::from(places[edge as usize]),
            Places::Wide(places) => usize::from(places[edge as usize]),
        };
        &self.names[number]
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        match &self.places {
            Places::Narrow(places) => places.len(),
            Places::Wide(places) => places.len() * size_of::<u16>(),
        }
    }

    fn number(&mut self, name: &str) -> Result<u16, TooLarge> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = u16::try_from(self.names.len()).ok().filter(|_| self.names.len() < MOST).ok_or(TooLarge)?;
        if let Places::Narrow(places) = &self.places
            && number > u16::from(u8::MAX)
        {
            self.places = Places::Wide(places.iter().copied().map(u16::from).collect());
        }
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_stay_what_they_are_when_there_are_too_many_for_a_byte() {
        let mut kinds = Kinds::default();
        for n in 0..300 {
            kinds.push(&format!("kind {n}")).unwrap();
            assert_eq!(kinds.bytes(), if n < 256 { n + 1 } else { 2 * (n + 1) });
        }
        kinds.set(0, "kind 299").unwrap();
        kinds.set(299, "kind 0").unwrap();
        let found: Vec<&str> = [0, 1, 255, 256, 299].map(|edge| kinds.of(edge)).into();
        assert_eq!(found, ["kind 299", "kind 1", "kind 255", "kind 256", "kind 0"]);
    }
}
