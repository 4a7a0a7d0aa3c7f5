//! The chains of a place: which objects belong to which, and the way along them.

use std::collections::BTreeMap;

use sluice_machines::chain::{Fault, Follower, Head};

use super::Place;
use crate::Failure;

const ENDING: &str = ".ndjson.gz";

/// The objects of a place by their chain's folder, each chain in the order of its batches.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    all: BTreeMap<String, Vec<(u64, String)>>,
    /// How many objects are no batches by their names.
    pub(crate) others: usize,
}

/// How far a chain was followed.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Its folder.
    pub(crate) folder: String,
    /// Its head, as far as it is good.
    pub(crate) head: Head,
    /// How many records it has, as far as it is good.
    pub(crate) records: u64,
    /// Its first fault, and the object that shows it.
    pub(crate) fault: Option<(String, String)>,
}

impl Chains {
    /// Sorts objects by their names.
    pub(crate) fn sort(names: Vec<String>) -> Self {
        let mut chains = Self::default();
        for name in names {
            match place_of(&name) {
                Some((folder, number)) => {
                    let batches = chains.all.entry(folder.to_owned()).or_default();
                    batches.push((number, name));
                }
                None => chains.others += 1,
            }
        }
        for batches in chains.all.values_mut() {
            batches.sort_unstable();
        }
        chains
    }
}

/// The chain's folder and the batch's number that an object's name says.
fn place_of(name: &str) -> Option<(&str, u64)> {
    let (folder, rest) = name.split_once("/date=")?;
    let (_, number) = rest.split_once('/')?;
    let number = number.strip_suffix(ENDING)?.parse().ok()?;
    Some((folder, number))
}

/// Who looks at what is passed on the way along the chains.
pub(crate) trait Visit {
    /// A record.
    ///
    /// # Errors
    /// When nothing more is to be looked at.
    fn record(&mut self, line: &str) -> Result<(), Failure>;

    /// A batch that is good, after its records.
    fn passed(&mut self, _folder: &str, _head: &Head) {}
}

impl<F: FnMut(&str) -> Result<(), Failure>> Visit for F {
    fn record(&mut self, line: &str) -> Result<(), Failure> {
        self(line)
    }
}

/// Follows every chain and shows its records, in order, until its first fault.
///
/// # Errors
/// When an object cannot be read at all, or `visit` fails.
pub(crate) fn walk(
    place: &Place,
    chains: &Chains,
    visit: &mut dyn Visit,
) -> Result<Vec<Followed>, Failure> {
    let mut all = Vec::new();
    for (folder, batches) in &chains.all {
        let mut follower = Follower::new(folder.clone());
        let mut fault = None;
        let mut before = 0;
        for (number, name) in batches {
            if *number == before {
                let said = format!("batch {number} is there twice, under another date");
                fault = Some((name.clone(), said));
                break;
            }
            before = *number;
            let mut outcome = Ok(());
            let pushed = read(place, name)?.and_then(|text| {
                follower
                    .push(&text, |_, line| {
                        if outcome.is_ok() {
                            outcome = visit.record(line);
                        }
                    })
                    .map_err(|fault: Fault| fault.to_string())
            });
            outcome?;
            if let Err(said) = pushed {
                fault = Some((name.clone(), said));
                break;
            }
            visit.passed(folder, follower.head());
        }
        all.push(Followed {
            folder: folder.clone(),
            head: follower.head().clone(),
            records: follower.records(),
            fault,
        });
    }
    Ok(all)
}

/// An object's text; what is wrong with it when it is there and cannot be unpacked.
fn read(place: &Place, name: &str) -> Result<Result<String, String>, Failure> {
    match place.read(name) {
        Ok(text) => Ok(Ok(text)),
        Err(Failure::File { error, .. })
            if matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData
                    | std::io::ErrorKind::InvalidInput
                    | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            Ok(Err(format!("it cannot be unpacked: {error}")))
        }
        Err(failure) => Err(failure),
    }
}
