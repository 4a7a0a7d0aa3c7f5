//! Where isolates run.

use super::*;

/// Where isolates run, and how far from the objects; a store is nearer, and each decision takes several ways to it.
pub(super) fn all(rng: &Rng, has_homes: bool, is_shared: bool) -> Vec<Rc<Region>> {
    // In some worlds one child carries everything.
    let is_lopsided = has_homes && rng.chance(300_000);
    let nearer = if is_shared { 10 } else { 1 };
    [("near", 1, 10), ("far", 20, 60), ("away", 5, 30)]
        .into_iter()
        .zip(LEDGER_REGIONS)
        .map(|((name, low, high), asked)| {
            let (low, high) = (low * 500 / nearer, high * 1_000 / nearer);
            Rc::new(Region {
                name,
                asks_for: asks_for(asked, is_lopsided),
                distance: Cell::new(Span::from_micros(rng.between(low, high))),
                is_steady: Cell::new(false),
                cut_until: Cell::default(),
            })
        })
        .collect()
}

/// The region that callers of a place ask to be counted in; all the same where it is lopsided.
fn asks_for(region: &'static str, is_lopsided: bool) -> Option<&'static str> {
    if is_lopsided {
        return Some(LEDGER_REGIONS[1]);
    }
    (region != LEDGER_REGIONS[0]).then_some(region)
}
