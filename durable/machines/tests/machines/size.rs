//! How much an admission writes: rows and bytes are what a store charges for.

use sluice_machines::ledger::Command;
use sluice_machines::limit::{Meter, Period};
use sluice_units::Span;

use crate::world::{World, all_scopes, amount, at, budget, per, record, seconds};

/// Five scopes, each with two windows and two budgets, under steady traffic that fills every sub-bucket.
#[test]
fn an_admission_writes_a_row_for_each_scope_and_one_more_and_its_settlement_two_more() {
    let mut world = World::new();
    let rules = [
        per(Meter::Requests, 100_000, seconds(60)),
        per(Meter::Tokens, 100_000_000, seconds(60)),
        budget(Period::Day, i64::MAX / 2),
        budget(Period::Month, i64::MAX / 2),
    ];
    let scopes: Vec<_> = all_scopes()
        .into_iter()
        .map(|scope| at(scope, &rules))
        .collect();
    let bytes = |(key, value): (&str, Option<&str>)| key.len() + value.map_or(0, str::len);
    let (mut sizes, mut settled) = (Vec::new(), Vec::new());
    for number in 0..300 {
        let admission = world.admission(number, &scopes, amount(1_500, 2_250_000));
        let (_, writes) = world.run(&[Command::Admit(Box::new(admission))]);
        sizes.push((writes.iter().count(), writes.iter().map(bytes).sum()));
        let record = Box::new(record(number, world.now));
        let actual = amount(1_200, 1_800_000);
        let (_, writes) = world.run(&[Command::Settle { actual, record }]);
        settled.push((writes.iter().count(), writes.iter().map(bytes).sum()));
        world.pass(Span::from_millis(250));
    }
    let (first, steady): ((usize, usize), (usize, usize)) = (sizes[0], sizes[299]);
    println!("first admission: {first:?}; steady traffic: {steady:?} (rows, bytes)");
    let settlement: (usize, usize) = settled[299];
    println!("settlement: {settlement:?} (rows, bytes)");
    // A settlement writes the scopes and the record, and deletes the reservation.
    assert_eq!((first.0, steady.0, settlement.0), (6, 6, 7));
    assert!(first.1 < 3_000, "{} bytes", first.1);
    assert!(steady.1 < 5_500, "{} bytes", steady.1);
    assert!(settlement.1 < 5_000, "{} bytes", settlement.1);
}
