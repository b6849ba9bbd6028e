//! How much an item is talked of: what readers did with it, each thing worth half as much after every [`HALF_LIFE`].
//!
//! Exponential decay keeps the order of what lies in the past: instead of everything getting less with time, what comes later counts for more
//! (forward decay: Cormode, Shkapenyuk, Srivastava, Xu, "Forward Decay", ICDE 2009). So that the numbers stay finite, time is cut into blocks,
//! and what happened counts for more from the beginning of its block on. Weights are whole numbers: sums of them are exact in whatever order
//! they are made, and what was added can be taken away again.
//!
//! **Bound.** A weight is within 1 part in 50,000 of the exact power of two: half a unit of at least 2^16, and time in steps of a 65,536th of
//! the half-life. Whoever sums the current block and the one before leaves out what is at least 16 half-lives old; each such thing weighs
//! less than a 65,536th of a new one.

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::engagement::Action;

/// After so long, a thing is worth half.
pub const HALF_LIFE: TimeDelta = TimeDelta::days(1);
/// So many half-lives are a block.
const HALF_LIVES: i64 = 16;
/// The weight of the least thing at the beginning of a block.
const UNIT_BITS: u32 = 16;

/// 2^(1/2), 2^(1/4), … 2^(1/65,536), each times 2^62.
const ROOTS: [u64; 16] = [
    0x5a827999fcef3242,
    0x4c1bf828c6dc54b8,
    0x45cae0f1f545eb73,
    0x42d561b3e6243d8a,
    0x4166c34c5615d0ec,
    0x40b268f9de0183ba,
    0x4058f6a7ecccd5b6,
    0x402c6be96af2fb58,
    0x4016321b687027a8,
    0x400b18178ba33b14,
    0x40058bce410147e8,
    0x4002c5d7bff71daf,
    0x400162e807ee7e5b,
    0x4000b1730df6a524,
    0x400058b9497b8152,
    0x40002c5c955dd701,
];

fn block_seconds() -> i64 {
    HALF_LIVES * HALF_LIFE.num_seconds()
}

/// The block in which something happened.
#[must_use]
pub fn block(at: DateTime<Utc>) -> i32 {
    // Dates have seven digits at most, and blocks are days long.
    i32::try_from(at.timestamp().div_euclid(block_seconds())).unwrap_or(i32::MAX)
}

/// What something adds to its item in its block.
#[must_use]
pub fn weight(action: Action, at: DateTime<Utc>) -> i64 {
    let into = at.timestamp().rem_euclid(block_seconds());
    let half_life = HALF_LIFE.num_seconds();
    // Whole half-lives, and the 65,536ths of the one under way.
    let (whole, part) = (into / half_life, (into % half_life) * 65_536 / half_life);
    let mut factor: u128 = 1 << 62;
    for (bit, root) in ROOTS.iter().enumerate() {
        if part & (1 << (15 - bit)) != 0 {
            factor = (factor * u128::from(*root)) >> 62;
        }
    }
    let shift = 62 - UNIT_BITS;
    let rounded = ((factor << whole) + (1 << (shift - 1))) >> shift;
    // At most 2^33, times 8.
    i64::try_from(rounded).unwrap_or(i64::MAX).saturating_mul(action.weight())
}

/// What a unit of `block` is worth at `now`, where a view at `now` is worth 1.
#[must_use]
pub fn worth(block: i32, now: DateTime<Utc>) -> f64 {
    let since = now.timestamp() - i64::from(block) * block_seconds();
    (-(since as f64) / HALF_LIFE.num_seconds() as f64 - f64::from(UNIT_BITS)).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_weight_is_within_the_bound_of_the_exact_decay() {
        let now = 1_700_000_000;
        for age in (0..15 * 86_400).step_by(1_237) {
            let then = at(now - age);
            for action in Action::ALL {
                let told = weight(action, then) as f64 * worth(block(then), at(now));
                let exact = action.weight() as f64 * (-(age as f64) / 86_400.0).exp2();
                assert!((told / exact - 1.0).abs() < 1.0 / 50_000.0, "{action:?} {age}: {told} {exact}");
            }
        }
    }

    #[test]
    fn a_new_block_changes_nothing_about_what_lies_in_the_old_one() {
        let end = 16 * 86_400 * 1_000;
        let (before, behind) = (at(end - 1), at(end));
        assert_eq!((block(before), block(behind)), (999, 1_000));
        let worth_of = |then, now| weight(Action::View, then) as f64 * worth(block(then), now);
        assert!((worth_of(before, behind) / worth_of(behind, behind) - 1.0).abs() < 1e-4);
    }
}
