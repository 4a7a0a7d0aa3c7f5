//! What a ledger was told is carried out by whoever decides next: before it, once, and in order.

use sluice_machines::inbox::{Commands, Decided, ENTRIES_MAX, PREFIX, entry, takes};
use sluice_machines::ledger::{Command, Reply};
use sluice_machines::limit::{Rule, ScopeRules};
use sluice_machines::rows::RowError;
use sluice_units::Span;

use crate::world::{World, amount, at, key, record, request};

fn concurrent(limit: u64) -> Vec<ScopeRules> {
    vec![at(key(), &[Rule::Concurrency { limit }])]
}

fn admit(world: &World, number: u32) -> Command {
    let admission = world.admission(number, &concurrent(1), amount(10, 100));
    Command::Admit(Box::new(admission))
}

fn settle(world: &World, number: u32) -> Command {
    Command::Settle {
        actual: amount(5, 50),
        record: Box::new(record(number, world.now)),
    }
}

/// Puts down what a ledger is told, after all that lies there.
fn put(world: &mut World, told: &[Command]) {
    assert!(takes(world.now, told));
    let key = format!("{PREFIX}{:08}", waiting(world) + 1);
    let text = entry(told).unwrap();
    world.store.insert(key, text);
}

/// Decides after what was told, and commits that.
fn run(world: &mut World, own: &[Command]) -> Decided {
    let commands = Commands::new(own);
    let rows = commands.load(|reads| Ok::<_, RowError>(world.read(reads)));
    let decided = commands.decide(&rows.unwrap(), world.now).unwrap();
    world.store.apply(&decided.writes);
    decided
}

fn waiting(world: &World) -> usize {
    world.store.with_prefix(PREFIX).count()
}

#[test]
fn what_was_told_is_carried_out_before_the_decision_and_taken_away_with_it() {
    let mut world = World::new();
    let admission = admit(&world, 1);
    run(&mut world, &[admission]);
    let told = settle(&world, 1);
    put(&mut world, &[told]);
    let admission = admit(&world, 2);
    let decided = run(&mut world, &[admission]);
    assert_eq!(decided.told, [Reply::Done]);
    assert!(matches!(
        decided.replies.as_deref(),
        Some([Reply::Admitted(_)])
    ));
    assert_eq!(waiting(&world), 0);
}

#[test]
fn what_was_told_twice_is_done_once() {
    let mut world = World::new();
    let admission = admit(&world, 1);
    run(&mut world, &[admission]);
    let told = settle(&world, 1);
    put(&mut world, std::slice::from_ref(&told));
    put(&mut world, &[told]);
    assert_eq!(run(&mut world, &[]).told, [Reply::Done, Reply::Unknown]);
    assert_eq!(world.store.with_prefix("q/").count(), 1);
}

#[test]
fn who_is_denied_leaves_what_was_told_to_others() {
    let mut world = World::new();
    let admission = admit(&world, 1);
    run(&mut world, &[admission]);
    let extend = Command::Extend {
        request: request(1),
        ttl: Span::from_seconds(90),
    };
    put(&mut world, &[extend]);
    let admission = admit(&world, 2);
    let decided = run(&mut world, &[admission]);
    assert!(matches!(
        decided.replies.as_deref(),
        Some([Reply::Denied(_)])
    ));
    assert!(decided.writes.is_empty());
    assert_eq!(waiting(&world), 1);
}

#[test]
fn where_more_may_have_been_told_the_commands_wait_for_the_next_commit() {
    let mut world = World::new();
    for number in 0..=ENTRIES_MAX {
        let told = settle(&world, number);
        put(&mut world, &[told]);
    }
    let admission = admit(&world, 1);
    let first = run(&mut world, std::slice::from_ref(&admission));
    assert!(first.replies.is_none());
    assert_eq!(waiting(&world), 1);
    let second = run(&mut world, &[admission]);
    assert!(matches!(
        second.replies.as_deref(),
        Some([Reply::Admitted(_)])
    ));
    assert_eq!(waiting(&world), 0);
}

#[test]
fn what_lies_under_a_key_that_was_used_before_is_read_anew() {
    let mut world = World::new();
    let admission = admit(&world, 1);
    run(&mut world, &[admission]);
    let commands = Commands::new(&[]);
    for told in [request(2), request(1)] {
        let release = Command::Release { request: told };
        put(&mut world, &[release]);
        let rows = commands.load(|reads| Ok::<_, RowError>(world.read(reads)));
        let decided = commands.decide(&rows.unwrap(), world.now).unwrap();
        world.store.apply(&decided.writes);
    }
    let (.., open) = world.standing();
    assert_eq!(open, 0);
}

#[test]
fn whoever_only_carries_out_hears_whether_there_may_be_more() {
    let mut world = World::new();
    for number in 0..ENTRIES_MAX {
        let told = settle(&world, number);
        put(&mut world, &[told]);
    }
    assert!(run(&mut world, &[]).replies.is_none());
    assert_eq!(run(&mut world, &[]).replies, Some(Vec::new()));
}

#[test]
fn what_needs_an_answer_or_was_drawn_long_ago_is_not_put_down() {
    let world = World::new();
    let told = settle(&world, 1);
    assert!(takes(world.now, std::slice::from_ref(&told)));
    assert!(!takes(world.now, &[told, admit(&world, 2)]));
    assert!(!takes(world.now, &[Command::Standing]));
}
