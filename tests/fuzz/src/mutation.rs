//! Mutants of seeds that are still JSON, or still events with JSON in them: bytes changed blindly rarely are.
//!
//! The same mutator serves the tests and the fuzzer; the same number gives the same mutant.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::splits::Random;

/// The longest text that is taken from a seed for use elsewhere, in bytes.
const WORD_BYTES_MAX: usize = 40;
/// How many changes one mutant has at most.
const CHANGES_MAX: u64 = 4;
/// How deep a value is buried at most; more than what a parser follows.
const DEPTH_MAX: u64 = 140;

/// Makes mutants.
#[derive(Debug)]
pub struct Mutator {
    /// Keys and short texts that seeds use.
    words: Vec<String>,
}

impl Mutator {
    /// A mutator that knows the words of these seeds.
    #[must_use]
    pub fn new(seeds: &[Vec<u8>]) -> Self {
        let mut words = BTreeSet::new();
        for seed in seeds {
            for line in std::iter::once(seed.as_slice()).chain(seed.split(|byte| *byte == b'\n')) {
                if let Some((_, value)) = json_in(line) {
                    collect_words(&value, &mut words);
                }
            }
        }
        Self {
            words: words.into_iter().collect(),
        }
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// A mutant of `input`.
    #[must_use]
    pub fn mutate(&self, input: &[u8], seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed);
        let mut mutant = input.to_vec();
        for _ in 0..=random.below(CHANGES_MAX) {
            mutant = self.change(&mutant, &mut random);
        }
        mutant
    }

    fn change(&self, input: &[u8], random: &mut Random) -> Vec<u8> {
        match random.below(16) {
            0 => return bytes(input, random),
            1 => return lines(input, random),
            _ => {}
        }
        if let Some((before, mut value)) = json_in(input) {
            self.value(&mut value, random);
            return [before, value.to_string().as_bytes()].concat();
        }
        // The lines that hold JSON are changed one at a time.
        let mut lines: Vec<Vec<u8>> = input
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let places: Vec<usize> = (0..lines.len())
            .filter(|at| json_in(&lines[*at]).is_some())
            .collect();
        let Some(at) = random.pick(&places) else {
            return bytes(input, random);
        };
        if let Some((before, mut value)) = json_in(&lines[*at]) {
            self.value(&mut value, random);
            lines[*at] = [before, value.to_string().as_bytes()].concat();
        }
        lines.join(&b'\n')
    }

    /// Changes one place in a value.
    fn value(&self, value: &mut Value, random: &mut Random) {
        let count = places(value);
        let other = copy(value, random.below(count));
        let mut left = random.below(count);
        let Some(place) = find(value, &mut left) else {
            return;
        };
        match random.below(10) {
            0 => *place = scalar(random),
            1 => *place = other,
            2 => *place = self.word(random).into(),
            3 => bury(place, random),
            4 | 5 => self.text_or_number(place, random),
            _ => match place {
                Value::Array(items) => change_items(items, other, random),
                Value::Object(fields) => self.fields(fields, other, random),
                leaf => *leaf = other,
            },
        }
    }

    fn text_or_number(&self, place: &mut Value, random: &mut Random) {
        match place {
            Value::String(text) => match random.below(7) {
                0 => text.clear(),
                1 => *text = text.repeat(3),
                2 => text.push_str(self.word(random)),
                3 => *text = "x".repeat(usize::try_from(random.below(3_000)).unwrap_or(0)),
                4 => text.push_str("\u{0}\n\r\"\\\u{2028}\u{1f600}"),
                5 => text.insert_str(0, "data:;base64,"),
                _ => *text = text.to_uppercase(),
            },
            Value::Number(_) => *place = scalar(random),
            _ => *place = json!([place.clone()]),
        }
    }

    fn fields(&self, fields: &mut Map<String, Value>, other: Value, random: &mut Random) {
        let keys: Vec<String> = fields.keys().cloned().collect();
        let key = random.pick(&keys).cloned().unwrap_or_default();
        match random.below(4) {
            0 => {
                fields.shift_remove(&key);
            }
            1 => {
                let value = fields.shift_remove(&key).unwrap_or_default();
                fields.insert(self.word(random).to_owned(), value);
            }
            2 => {
                fields.insert(key, other);
            }
            _ => {
                fields.insert(self.word(random).to_owned(), other);
            }
        }
    }

    fn word(&self, random: &mut Random) -> &str {
        random.pick(&self.words).map_or("", String::as_str)
    }
}

/// The JSON that a text ends with, and what stands before it, such as `data: `.
fn json_in(text: &[u8]) -> Option<(&[u8], Value)> {
    const BEFORE_BYTES_MAX: usize = 600;
    let at = text
        .iter()
        .take(BEFORE_BYTES_MAX)
        .position(|byte| matches!(byte, b'{' | b'['))?;
    let (before, rest) = text.split_at(at);
    Some((before, serde_json::from_slice(rest).ok()?))
}

fn collect_words(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() <= WORD_BYTES_MAX => {
            words.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect_words(item, words)),
        Value::Object(fields) => {
            for (key, field) in fields {
                words.insert(key.clone());
                collect_words(field, words);
            }
        }
        _ => {}
    }
}

/// How many values there are, the whole one included.
fn places(value: &Value) -> u64 {
    match value {
        Value::Array(items) => 1 + items.iter().map(places).sum::<u64>(),
        Value::Object(fields) => 1 + fields.values().map(places).sum::<u64>(),
        _ => 1,
    }
}

/// The value at a place, counted from the outside in.
fn find<'a>(value: &'a mut Value, left: &mut u64) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| find(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|field| find(field, left)),
        _ => None,
    }
}

fn copy(value: &mut Value, mut place: u64) -> Value {
    find(value, &mut place).map_or(Value::Null, |found| found.clone())
}

fn scalar(random: &mut Random) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(0.5),
        json!(1e300),
        json!(-0.0),
        json!(u32::MAX),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(""),
        json!("{}"),
        json!("\u{0}"),
        json!("null"),
        json!("#"),
        json!("#/$defs/a"),
        json!([]),
        json!({}),
        json!([[]]),
    ];
    random.pick(&all).cloned().unwrap_or_default()
}

fn bury(place: &mut Value, random: &mut Random) {
    let depth = if random.below(8) == 0 {
        random.below(DEPTH_MAX)
    } else {
        1
    };
    for _ in 0..depth {
        let inner = place.take();
        *place = if depth.is_multiple_of(2) {
            json!([inner])
        } else {
            json!({"a": inner})
        };
    }
}

fn change_items(items: &mut Vec<Value>, other: Value, random: &mut Random) {
    let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
    let at = usize::try_from(random.below(count)).unwrap_or(0);
    match random.below(5) {
        0 if at < items.len() => {
            items.remove(at);
        }
        1 if at < items.len() => {
            let again = items[at].clone();
            items.insert(at, again);
        }
        2 => items.reverse(),
        3 if at < items.len() => items[at] = other,
        _ => items.insert(at, other),
    }
}

/// Changes bytes without knowing what they mean.
fn bytes(input: &[u8], random: &mut Random) -> Vec<u8> {
    const NASTY: &[u8] = b"\0\n\r\"\\{}[],:0e-\xff\xef\x80 ";
    let mut mutant = input.to_vec();
    let count = u64::try_from(mutant.len()).unwrap_or(u64::MAX);
    let at = usize::try_from(random.below(count)).unwrap_or(0);
    let byte = random.pick(NASTY).copied().unwrap_or_default();
    match random.below(4) {
        0 => mutant.truncate(at),
        1 => mutant.insert(at, byte),
        2 if at < mutant.len() => {
            mutant.remove(at);
        }
        _ => {
            if let Some(place) = mutant.get_mut(at) {
                *place = byte;
            }
        }
    }
    mutant
}

/// Takes out, repeats or swaps lines, or ends them otherwise.
fn lines(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let count = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    let mut place = || usize::try_from(random.below(count)).unwrap_or(0);
    let (one, other) = (place(), place());
    match random.below(5) {
        0 => {
            lines.remove(one);
        }
        1 => lines.insert(other, lines[one]),
        2 => lines.swap(one, other),
        3 => return lines.join(&b"\r\n"[..]),
        _ => return lines.join(&b'\r'),
    }
    lines.join(&b'\n')
}
