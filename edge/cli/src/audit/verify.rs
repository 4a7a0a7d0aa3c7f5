//! `sluice audit verify`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use sluice_core::receipt::Receipt;
use sluice_machines::chain::Head;

use super::bodies::{BodyKeyArguments, Opener};
use super::chains::Visit;
use super::join::Join;
use super::{Chains, LocationArguments, Place, walk};
use crate::receipt::Keys;
use crate::{Failure, read_file};

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    location: LocationArguments,
    /// Receipts, one on a line, that must have their records; needs --keys
    #[arg(long, value_name = "FILE", requires = "keys")]
    receipts: Option<PathBuf>,
    /// What the gateway says at /.well-known/sluice-receipts.json, in a file
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    body_keys: BodyKeyArguments,
}

/// Looks at the records, for receipts and bodies.
struct Look {
    join: Join,
    opener: Option<Opener>,
}

impl Visit for Look {
    fn record(&mut self, line: &str) -> Result<(), Failure> {
        self.join.look_at(line);
        if let Some(opener) = &mut self.opener {
            opener.open(&mut serde_json::from_str(line).map_err(Failure::Json)?);
        }
        Ok(())
    }

    fn passed(&mut self, folder: &str, head: &Head) {
        self.join.pass(folder, head);
    }
}

pub(crate) fn run(arguments: &VerifyArguments) -> Result<String, Failure> {
    let began = Instant::now();
    let place = Place::open(&arguments.location.location)?;
    let chains = Chains::sort(place.names(&arguments.location.only)?);
    let join = Join::new(receipts(arguments)?);
    let receipts = join.len();
    let opener = Opener::new(&arguments.body_keys)?;
    let mut look = Look {
        join,
        opener: opener.has_keys().then_some(opener),
    };
    let followed = walk(&place, &chains, &mut look)?;
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
    faults.extend(look.join.end());
    if let Some(opener) = &mut look.opener {
        text.push_str(&opener.told());
        faults.append(&mut opener.faults);
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
    if receipts > 0 {
        text.push_str(&format!("{receipts} receipts: each has its record\n"));
    }
    text.push_str(&format!(
        "{records} records: none is missing, moved or changed ({:.1} s)\n",
        began.elapsed().as_secs_f64()
    ));
    Ok(text)
}

fn receipts(arguments: &VerifyArguments) -> Result<Vec<Receipt>, Failure> {
    let (Some(file), Some(keys)) = (&arguments.receipts, &arguments.keys) else {
        return Ok(Vec::new());
    };
    let proven = Keys::read(keys)?.proven(&read_file(file)?)?;
    Ok(proven.into_iter().map(|proven| proven.receipt).collect())
}
