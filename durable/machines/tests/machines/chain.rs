//! Chains of batches that somebody has meddled with.

use proptest::prelude::*;
use sluice_machines::chain::{Fault, Follower, Head};

use crate::outbox::{next, settle_more, shipped};
use crate::world::World;

const FOLDER: &str = "usage/region=eu/org=acme";

/// Batches of these sizes.
fn batches(sizes: &[u32]) -> Vec<String> {
    let mut world = World::new();
    let mut texts = Vec::new();
    let mut number = 0;
    for size in sizes {
        settle_more(&mut world, number, *size);
        number += size;
        let batch = next(&mut world).unwrap();
        shipped(&mut world, &batch);
        texts.push(batch.ndjson);
    }
    texts
}

/// The head and the number of records, or the first fault and the number of its object.
fn follow(batches: &[String]) -> Result<(Head, u64), (usize, Fault)> {
    let mut follower = Follower::new(FOLDER.to_owned());
    let mut seen = 0;
    for (at, batch) in batches.iter().enumerate() {
        follower
            .push(batch, |sequence, _| {
                seen += 1;
                assert_eq!(sequence, seen);
            })
            .map_err(|fault| (at, fault))?;
    }
    assert_eq!(follower.records(), seen);
    Ok((follower.head().clone(), seen))
}

fn lines(batch: &str) -> Vec<String> {
    batch.lines().map(str::to_owned).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_untouched_chain_is_followed_to_its_head() {
    let batches = batches(&[3, 1, 4]);
    let (head, records) = follow(&batches).unwrap();
    assert_eq!((head.batch, records), (3, 8));
    assert_eq!(
        head.hash,
        sluice_machines::chain::hash(batches[2].as_bytes())
    );
}

#[test]
fn what_was_done_to_a_record_is_named() {
    let good = batches(&[3, 3, 3]);
    // The middle batch holds the records 4 to 6, on its lines 1 to 3.
    let meddled = |meddle: fn(&mut Vec<String>)| {
        let mut all = good.clone();
        let mut middle = lines(&all[1]);
        meddle(&mut middle);
        all[1] = text(&middle);
        follow(&all).unwrap_err()
    };
    let order = |expected, found: &str| {
        (
            1,
            Fault::Order {
                expected,
                found: found.to_owned(),
            },
        )
    };
    assert_eq!(
        meddled(|lines| lines[2] = lines[2].replace("acme", "acne")),
        (1, Fault::Changed { sequence: 5 })
    );
    assert_eq!(
        meddled(|lines| drop(lines.remove(2))),
        order(5, "record 6 is there")
    );
    assert_eq!(
        meddled(|lines| drop(lines.remove(3))),
        order(6, "the batch ends before it")
    );
    assert_eq!(
        meddled(|lines| lines.swap(1, 2)),
        order(4, "record 5 is there")
    );
    assert_eq!(
        meddled(|lines| lines.push(lines[3].replace(r#""sequence":6"#, r#""sequence":7"#))),
        order(7, "the header says that there is none")
    );
}

#[test]
fn a_forger_who_mends_the_marks_is_found_by_the_next_batch() {
    let mut all = batches(&[3, 3, 3]);
    let forged = batches(&[3, 3]).remove(1);
    assert_eq!(forged, all[1], "the same records make the same batch");
    let mut lines = lines(&forged);
    // A record that says the same in other words, with the mark of those words.
    lines[2] = format!("{} ", lines[2]);
    let mark = lines[2].bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let at = lines[0].len() - r#""}"#.len() - 16;
    lines[0].replace_range(at..at + 8, &format!("{mark:08x}"));
    all[1] = text(&lines);
    let (at, fault) = follow(&all).unwrap_err();
    let expected = Fault::Broken {
        before: 2,
        first: 4,
        last: 6,
    };
    assert_eq!((at, fault), (2, expected));
}

#[test]
fn a_batch_that_is_gone_is_named_with_its_first_record() {
    let mut all = batches(&[3, 3, 3]);
    all.remove(1);
    let expected = Fault::Missing {
        expected: 2,
        found: 3,
        sequence: 4,
    };
    assert_eq!(follow(&all).unwrap_err(), (1, expected));
}

#[test]
fn an_object_from_elsewhere_is_none_of_the_chain() {
    let all = batches(&[1]);
    let mut follower = Follower::new("usage/region=us/org=acme".to_owned());
    let fault = follower.push(&all[0], |_, _| {}).unwrap_err();
    let found = FOLDER.to_owned();
    assert_eq!(fault, Fault::Elsewhere { found });
    let headless: Vec<String> = lines(&all[0]).split_off(1);
    let mut follower = Follower::new(FOLDER.to_owned());
    let fault = follower.push(&text(&headless), |_, _| {}).unwrap_err();
    assert!(matches!(fault, Fault::NoHeader { .. }), "{fault:?}");
}

proptest! {
    /// Whoever knows the head finds whatever was done to any byte.
    #[test]
    fn no_edit_leaves_the_head_as_it_was(
        sizes in proptest::collection::vec(1_u32..5, 1..5),
        at in any::<proptest::sample::Index>(),
        removed in 0_usize..400,
        inserted in "[ -~\n]{0,8}",
    ) {
        let good = batches(&sizes);
        let whole = good.concat();
        let mut bytes = whole.clone();
        let start = at.index(whole.len());
        let end = (start + removed).min(whole.len());
        bytes.replace_range(start..end, &inserted);
        prop_assume!(bytes != whole);
        // Every batch begins where its header is.
        let mut found: Vec<String> = Vec::new();
        for line in bytes.split_inclusive('\n') {
            match found.last_mut() {
                Some(last) if !line.starts_with(r#"{"audit""#) => last.push_str(line),
                _ => found.push(line.to_owned()),
            }
        }
        let expected = follow(&good).unwrap();
        prop_assert_ne!(follow(&found), Ok(expected));
    }

    /// The first record that is touched is the one that is named.
    #[test]
    fn the_first_record_that_was_touched_is_named(
        sizes in proptest::collection::vec(1_u32..5, 2..5),
        at in any::<proptest::sample::Index>(),
        kind in 0_u8..3,
    ) {
        let mut all = batches(&sizes);
        let total: u32 = sizes.iter().sum();
        let touched = at.index(total as usize) as u64 + 1;
        let mut before = 0;
        for (batch, size) in all.iter_mut().zip(&sizes) {
            let line = touched.saturating_sub(before) as usize;
            if touched > before && line <= *size as usize {
                let mut lines = lines(batch);
                match kind {
                    0 => lines[line] = lines[line].replace("acme", "ACME"),
                    1 => drop(lines.remove(line)),
                    _ => {
                        let last = lines.len() - 1;
                        prop_assume!(line < last);
                        lines.swap(line, last);
                    }
                }
                *batch = text(&lines);
            }
            before += u64::from(*size);
        }
        let (_, fault) = follow(&all).unwrap_err();
        let named = match fault {
            Fault::Changed { sequence } => sequence,
            Fault::Order { expected, .. } => expected,
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(named, touched);
    }
}
