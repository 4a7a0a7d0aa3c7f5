//! `sluice audit verify`.

use std::time::Instant;

use clap::Args;

use super::{Chains, LocationArguments, Place, walk};
use crate::Failure;

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    location: LocationArguments,
}

pub(crate) fn run(arguments: &VerifyArguments) -> Result<String, Failure> {
    let began = Instant::now();
    let place = Place::open(&arguments.location.location)?;
    let chains = Chains::sort(place.names(&arguments.location.only)?);
    let followed = walk(&place, &chains, |_| Ok(()))?;
    if followed.is_empty() {
        return Err(Failure::NoBatches(arguments.location.location.clone()));
    }
    let mut text = String::new();
    let mut faults = Vec::new();
    let mut records: u64 = 0;
    for chain in &followed {
        records += chain.records;
        text.push_str(&format!(
            "{}: {} records in {} batches; head {} {}\n",
            chain.folder, chain.records, chain.head.batch, chain.head.batch, chain.head.hash
        ));
        if let Some((object, fault)) = &chain.fault {
            faults.push(format!("{object}: {fault}"));
        }
    }
    if !faults.is_empty() {
        return Err(Failure::Broken { text, faults });
    }
    if chains.others > 0 {
        text.push_str(&format!(
            "{} other objects are no batches and were not looked at\n",
            chains.others
        ));
    }
    text.push_str(&format!(
        "{records} records: none is missing, moved or changed ({:.1} s)\n",
        began.elapsed().as_secs_f64()
    ));
    Ok(text)
}
