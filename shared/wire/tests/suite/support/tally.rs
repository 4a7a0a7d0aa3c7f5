//! Counts what was replayed, by provider and kind, and gathers what failed.

use std::collections::BTreeMap;
use std::fmt::Debug;

#[derive(Default)]
pub(crate) struct Tally {
    counts: BTreeMap<(String, &'static str), usize>,
    failures: Vec<String>,
}

impl Tally {
    pub(crate) fn note(
        &mut self,
        provider: &str,
        kind: &'static str,
        name: &str,
        outcome: Result<(), String>,
    ) {
        match outcome {
            Ok(()) => {
                let count = self.counts.entry((provider.to_owned(), kind));
                *count.or_default() += 1;
            }
            Err(problem) => self
                .failures
                .push(format!("{provider} {kind} {name}: {problem}")),
        }
    }

    pub(crate) fn finish(self) {
        for ((provider, kind), count) in &self.counts {
            println!("replayed {count:>4} {kind} of {provider}");
        }
        assert!(!self.counts.is_empty(), "the recordings hold nothing");
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
    }
}

/// Says what differs.
pub(crate) fn same<T: PartialEq + Debug>(what: &str, left: &T, right: &T) -> Result<(), String> {
    if left == right {
        return Ok(());
    }
    Err(format!("{what} differ:\n  {left:?}\n  {right:?}"))
}
