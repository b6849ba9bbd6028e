//! Identifiers and randomness. Owns every use of the operating system's random source.
//!
//! Nothing else may invent an identifier: decisions take ids as values, so that a replay decides the same. This
//! module must not give meaning to what it makes.

use rand::{TryRng, rngs::SysRng};
use uuid::Uuid;

/// A new identifier (UUIDv7): ordered by the time it was made.
#[allow(clippy::disallowed_methods, reason = "this module is the one place that invents identifiers")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Random bytes fit for keys and tokens, straight from the operating system.
///
/// # Panics
/// When the operating system has no randomness to give. Nothing secret could be made then, so nothing may go on.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).expect("without randomness no secret can be made, so the process must not go on");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_seven_and_ascend() {
        let (first, second) = (new_id(), new_id());
        assert_eq!(first.get_version_num(), 7);
        assert!(first < second);
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random_bytes::<32>(), random_bytes::<32>());
    }
}
