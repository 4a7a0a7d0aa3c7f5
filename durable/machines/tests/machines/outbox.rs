//! Records on their way to the store.

use sluice_machines::chain::{ChainKind, Follower, GENESIS};
use sluice_machines::ledger::{self, BODIES_WAITING_MAX, Command};
use sluice_machines::outbox::{self, BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Batch, RETRY_MAX};
use sluice_machines::record::{Bodies, Keep, Missing, Record};
use sluice_machines::rows::Rows;
use sluice_units::{Shard, Span, Timestamp};

use crate::world::{World, amount, record, seconds};

fn settled(count: u32) -> World {
    let mut world = World::new();
    settle_more(&mut world, 0, count);
    world
}

pub(crate) fn settle_more(world: &mut World, from: u32, count: u32) {
    for number in from..from + count {
        world.admitted(number, &[], amount(1, 10));
        world.settle(number, amount(1, 10));
    }
}

fn outbox_rows(world: &World) -> Rows {
    world.rows(&outbox::reads())
}

pub(crate) fn next(world: &mut World) -> Option<Batch> {
    let (batch, writes) =
        outbox::next_batch(&outbox_rows(world), world.now, ChainKind::Usage).unwrap()?;
    world.store.apply(&writes);
    Some(batch)
}

pub(crate) fn shipped(world: &mut World, batch: &Batch) {
    let writes = outbox::shipped(&outbox_rows(world), batch).unwrap();
    world.store.apply(&writes);
}

fn failed(world: &mut World, batch: &Batch) {
    let writes = outbox::failed(&outbox_rows(world), world.now, batch).unwrap();
    world.store.apply(&writes);
}

fn alarm(world: &World, interval: Span) -> Option<Timestamp> {
    outbox::next_alarm(&world.rows(&outbox::alarm_reads()), world.now, interval).unwrap()
}

#[test]
fn records_leave_in_numbered_batches_under_names_that_say_where_and_when() {
    let mut world = settled(3);
    let batch = next(&mut world).unwrap();
    assert_eq!(
        batch.name,
        "usage/region=eu/org=acme/date=2026-11-21/000000000001.ndjson.gz"
    );
    assert_eq!((batch.count, batch.first, batch.last), (3, 1, 3));
    assert_eq!(batch.records().count(), 3);
    let header = format!(
        r#"{{"audit":1,"chain":"usage","region":"eu","org":"acme","batch":1,"first":1,"last":3,"before":"{GENESIS}","marks":""#
    );
    assert!(batch.ndjson.starts_with(&header), "{}", batch.ndjson);
    let mut records = batch.records();
    assert!(records.all(|line| line.starts_with(r#"{"v":1,"sequence":"#)));
    shipped(&mut world, &batch);
    assert_eq!(next(&mut world), None);
    assert_eq!(world.standing().1, 0);
    world.pass(seconds(86_400));
    settle_more(&mut world, 3, 1);
    let batch = next(&mut world).unwrap();
    assert_eq!(
        batch.name,
        "usage/region=eu/org=acme/date=2026-11-22/000000000002.ndjson.gz"
    );
    assert_eq!((batch.first, batch.last), (4, 4));
}

#[test]
fn a_shards_records_are_a_chain_of_their_own() {
    let mut world = World::new();
    let mut record = record(1, world.now);
    record.shard = Shard::new(3);
    let mut admission = world.admission(1, &[], amount(1, 1));
    admission.draft = record.clone();
    world.one(Command::Admit(Box::new(admission)));
    let actual = amount(1, 1);
    let record = Box::new(record);
    world.one(Command::Settle { actual, record });
    let batch = next(&mut world).unwrap();
    assert_eq!(
        batch.name,
        "usage/region=eu/org=acme/shard=3/date=2026-11-21/000000000001.ndjson.gz"
    );
    let header = r#"{"audit":1,"chain":"usage","region":"eu","org":"acme","shard":3,"batch":1,"#;
    assert!(batch.ndjson.starts_with(header), "{}", batch.ndjson);
    let mut follower = Follower::new("usage/region=eu/org=acme/shard=3".to_owned());
    follower.push(&batch.ndjson, |_, _| ()).unwrap();
    assert_eq!(*follower.head(), batch.head());
}

#[test]
fn a_batch_that_is_tried_again_is_the_same_whatever_came_since() {
    let mut world = settled(2);
    let first = next(&mut world).unwrap();
    settle_more(&mut world, 2, 2);
    assert_eq!(next(&mut world).unwrap(), first);
    failed(&mut world, &first);
    world.pass(RETRY_MAX);
    assert_eq!(next(&mut world).unwrap(), first);
    shipped(&mut world, &first);
    let second = next(&mut world).unwrap();
    assert_eq!((second.first, second.last), (3, 4));
    let mut follower = Follower::new("usage/region=eu/org=acme".to_owned());
    for batch in [&first, &second] {
        follower.push(&batch.ndjson, |_, _| {}).unwrap();
        assert_eq!(follower.head().hash, batch.hash);
    }
}

#[test]
fn a_confirmation_that_comes_again_harms_no_later_batch() {
    let mut world = settled(1);
    let first = next(&mut world).unwrap();
    shipped(&mut world, &first);
    settle_more(&mut world, 1, 1);
    let second = next(&mut world).unwrap();
    shipped(&mut world, &first);
    failed(&mut world, &first);
    assert_eq!(next(&mut world), Some(second));
}

#[test]
fn a_store_that_fails_is_asked_less_and_less_often() {
    let mut world = settled(1);
    // Nothing but the store is left to wait for.
    world.pass(seconds(60));
    world.expire();
    let mut waits = Vec::new();
    for _ in 0..12 {
        let batch = next(&mut world).unwrap();
        failed(&mut world, &batch);
        let retry = alarm(&world, Span::ZERO).unwrap();
        waits.push(retry.since(world.now).as_micros() / 1_000_000);
        world.now = retry.minus(Span::from_micros(1));
        assert_eq!(next(&mut world), None);
        world.now = retry;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
}

#[test]
fn a_batch_is_bounded_by_count() {
    let mut world = settled(BATCH_RECORDS_MAX + 1);
    assert_eq!(alarm(&world, seconds(10)), Some(world.now));
    let batch = next(&mut world).unwrap();
    assert_eq!(batch.count, u64::from(BATCH_RECORDS_MAX));
    shipped(&mut world, &batch);
    assert_eq!(next(&mut world).unwrap().count, 1);
}

#[test]
fn a_batch_is_bounded_by_bytes_and_a_huge_record_travels_alone() {
    let mut world = World::new();
    for (number, bytes) in [(0, 600_000), (1, 600_000), (2, 2_000_000), (3, 1)] {
        let mut record = record(number, world.now);
        record.error = Some("x".repeat(bytes));
        world.admitted(number, &[], amount(1, 10));
        let actual = amount(1, 10);
        let record = Box::new(record);
        world.run(&[ledger::Command::Settle { actual, record }]);
    }
    let mut records = Vec::new();
    for _ in 0..4 {
        let batch = next(&mut world).unwrap();
        let bytes: usize = batch.records().map(str::len).sum();
        assert!(batch.count == 1 || bytes <= BATCH_BYTES_MAX);
        records.push(batch.count);
        shipped(&mut world, &batch);
    }
    assert_eq!(records, [1, 1, 1, 1]);
    assert_eq!(next(&mut world), None);
}

#[test]
fn the_alarm_rings_for_the_earliest_of_all_reasons() {
    let mut world = World::new();
    assert_eq!(alarm(&world, seconds(10)), None);
    world.admitted(1, &[], amount(1, 10));
    let admitted_at = world.now;
    let deadline = admitted_at.plus(seconds(60));
    assert_eq!(alarm(&world, seconds(10)), Some(deadline));
    settle_more(&mut world, 2, 1);
    let ship_at = admitted_at.plus(seconds(10));
    assert_eq!(alarm(&world, seconds(10)), Some(ship_at));
    // Whoever asks later does not put it off.
    world.pass(seconds(4));
    assert_eq!(alarm(&world, seconds(10)), Some(ship_at));
    world.pass(seconds(100));
    assert_eq!(alarm(&world, seconds(10)), Some(world.now));
}

#[test]
fn a_record_that_is_missing_stops_the_shipping() {
    let mut world = settled(2);
    let mut rows = Rows::new();
    rows.extend(
        outbox_rows(&world)
            .iter()
            .skip(1)
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    assert!(outbox::next_batch(&rows, world.now, ChainKind::Usage).is_err());
    let batch = next(&mut world).unwrap();
    assert_eq!(batch.count, 2);
}

/// What a settlement brings that has so many bytes of sealed bodies.
fn sealed(bytes: usize) -> Bodies {
    Bodies {
        keep: Keep::Full,
        key: "key-1".to_owned(),
        sealed: Some("x".repeat(bytes)),
        missing: None,
    }
}

fn settle_with_bodies(world: &mut World, number: u32, bytes: usize) {
    world.admitted(number, &[], amount(1, 10));
    let record = Record {
        bodies: Some(sealed(bytes)),
        ..record(number, world.now)
    };
    world.one(Command::Settle {
        actual: amount(1, 10),
        record: Box::new(record),
    });
}

#[test]
fn no_more_is_read_of_the_outbox_than_a_batch_holds() {
    let mut world = World::new();
    for number in 0..100 {
        settle_with_bodies(&mut world, number, 40_000);
    }
    // What is due is due at once: a whole batch waits.
    assert_eq!(alarm(&world, seconds(3_600)), Some(world.now));
    let mut records = 0;
    while let Some(batch) = next(&mut world) {
        let read: usize = outbox_rows(&world).iter().map(|(_, text)| text.len()).sum();
        assert!(read < BATCH_BYTES_MAX + 50_000, "{read}");
        assert!(batch.ndjson.len() < BATCH_BYTES_MAX + 1_000);
        // Tried again, it is the same.
        assert_eq!(next(&mut world).as_ref(), Some(&batch));
        records += batch.count;
        shipped(&mut world, &batch);
    }
    assert_eq!(records, 100);
}

#[test]
fn bodies_are_left_out_where_too_much_waits() {
    let mut world = World::new();
    settle_with_bodies(&mut world, 1, 100);
    let few = world.store.get("s/org").unwrap().to_owned();
    let many = few.replace(r#""q":1"#, &format!(r#""q":{BODIES_WAITING_MAX}"#));
    assert_ne!(few, many);
    world.store.insert("s/org".to_owned(), many);
    settle_with_bodies(&mut world, 2, 100);
    let bodies = |sequence: u64| {
        let row = world.store.get(&format!("q/{sequence:020}")).unwrap();
        let line: outbox::Line = serde_json::from_str(row).unwrap();
        line.record.bodies.unwrap()
    };
    assert_eq!(bodies(1), sealed(100));
    let left_out = bodies(BODIES_WAITING_MAX + 1);
    assert_eq!(
        (left_out.sealed, left_out.missing),
        (None, Some(Missing::NoRoom))
    );
}
