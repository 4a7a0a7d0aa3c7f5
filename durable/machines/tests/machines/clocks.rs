//! Budgets in places whose clocks change, against a naive log of what was spent on which date.

use std::collections::BTreeMap;

use sluice_machines::limit::{Borrow, Clocks, Period, Rule, Scope, UtcOffset};
use sluice_units::{NanoUsd, Span, Timestamp};

use crate::world::{World, amount, at, seconds};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// What each request costs, and what a period allows: less than is asked for in it.
const EACH: i64 = 10;
const LIMIT: i64 = 1_000;

/// A place: its name, how many minutes it is ahead of UTC, and from which second on how many.
type Place = (&'static str, i16, [(i64, i16); 2]);

const PLACES: [Place; 4] = [
    // At two o'clock an hour is left out, at three one comes twice: 2026-03-29 and 2026-10-25, 01:00 UTC.
    ("Berlin", 60, [(1_774_746_000, 120), (1_792_890_000, 60)]),
    // Midnight of 2026-03-08 is left out; at one o'clock of 2026-11-01 it is midnight again.
    (
        "Havana",
        -300,
        [(1_772_946_000, -240), (1_793_509_200, -300)],
    ),
    // Midnight of 2026-03-29 is left out; at midnight of 2026-10-25 it is eleven o'clock in the evening again.
    ("Beirut", 120, [(1_774_735_200, 180), (1_792_875_600, 120)]),
    // Half an hour, in the south: 2026-04-04 and 2026-10-03, 15:00 UTC and 15:30 UTC.
    (
        "Lord Howe",
        660,
        [(1_775_314_800, 630), (1_791_041_400, 660)],
    ),
];

fn moment(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

fn clocks((_, first, changes): &Place, at: Timestamp) -> Clocks {
    let mut clocks = Clocks {
        offset: UtcOffset::from_minutes(*first),
        change: None,
    };
    for (second, minutes) in changes {
        let change = (moment(*second), UtcOffset::from_minutes(*minutes));
        if change.0 > at {
            clocks.change = Some(change);
            break;
        }
        clocks.offset = change.1;
    }
    clocks
}

/// The date that is on the calendar of a place, of its month the first.
fn date(place: &Place, period: Period, at: Timestamp) -> (i64, u8, u8) {
    let (_, first, changes) = place;
    let passed = changes
        .iter()
        .rfind(|(second, _)| moment(*second) <= at)
        .map_or(*first, |(_, minutes)| *minutes);
    let date = at.plus(seconds(i64::from(passed) * 60)).date();
    match period {
        Period::Day => (date.year, date.month, date.day),
        Period::Month => (date.year, date.month, 1),
    }
}

/// Spends at every step, from as long before a change as after it, under rules that were looked up `lag` before.
fn check(place: &Place, change: i64, (period, around, step): (Period, i64, i64), lag: i64) {
    let mut world = World::new();
    let mut spent: BTreeMap<(i64, u8, u8), i64> = BTreeMap::new();
    let mut open = None;
    let mut denials = 0;
    for (number, second) in (1_u32..).zip((change - around..change + around).step_by(step as usize))
    {
        world.now = moment(second);
        let rule = Rule::Budget {
            limit: NanoUsd::from_nanos(LIMIT),
            period,
            clocks: clocks(place, moment(second - lag)),
            borrow: Borrow::No,
        };
        let scopes = [at(Scope::Org, &[rule])];
        let asked = amount(1, EACH);
        let today = spent.entry(date(place, period, world.now)).or_default();
        if *today + EACH <= LIMIT {
            world.admitted(number, &scopes, asked);
            *today += EACH;
            // What was let in before is settled in another period, at times.
            if let Some(before) = open.replace(number) {
                world.settle(before, asked);
            }
            continue;
        }
        denials += 1;
        let wait = world.denied(number, &scopes, asked).retry_after.unwrap();
        let name = format!("{} {period:?} {}", place.0, world.now.as_seconds());
        let now = date(place, period, world.now);
        let next = world.now.plus(wait);
        assert!(
            date(place, period, next) > now,
            "{name}: {wait:?} is too early"
        );
        let last = next.minus(Span::from_micros(1));
        assert_eq!(
            date(place, period, last),
            now,
            "{name}: {wait:?} is too late"
        );
        let mut later = world.clone();
        later.now = last;
        later.denied(number, &scopes, asked);
        later.now = next;
        later.admitted(number, &scopes, asked);
    }
    assert!(denials > 3, "{} {period:?}: {denials}", place.0);
}

#[test]
fn each_day_has_its_budget_where_clocks_change() {
    for place in &PLACES {
        for (change, _) in place.2 {
            for lag in [0, HOUR] {
                check(place, change, (Period::Day, 2 * DAY, 10 * 60), lag);
            }
        }
    }
}

#[test]
fn each_month_has_its_budget_where_clocks_change() {
    for place in &PLACES {
        for (change, _) in place.2 {
            check(place, change, (Period::Month, 40 * DAY, 5 * HOUR), 0);
        }
    }
}

#[test]
fn a_month_with_a_change_ends_at_the_midnight_that_clocks_will_show() {
    let berlin = &PLACES[0];
    for (month, now, ends) in [
        // 2026-10-20T12:00Z, until 2026-10-31T23:00Z.
        ("October", 1_792_497_600, 1_793_487_600),
        // 2026-10-25T12:00Z: they have changed.
        ("late October", 1_792_929_600, 1_793_487_600),
        // 2026-03-20T12:00Z, until 2026-03-31T22:00Z.
        ("March", 1_774_008_000, 1_774_994_400),
        // 2026-05-20T12:00Z, until 2026-05-31T22:00Z.
        ("May", 1_779_278_400, 1_780_264_800),
    ] {
        let clocks = clocks(berlin, moment(now));
        assert_eq!(
            clocks.next(Period::Month, moment(now)),
            moment(ends),
            "{month}"
        );
    }
}
