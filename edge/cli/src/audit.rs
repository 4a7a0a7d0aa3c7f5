//! Audit chains in a folder or a bucket: proven, taken out for auditors, or made up to try it on.
//!
//! What makes a chain good is the machines' business ([`sluice_machines::chain`]); here is only where the batches come
//! from and what is done with the records. One batch is in memory at a time, beside the names of all.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::Failure;

mod bodies;
mod chains;
mod day;
mod demo;
mod export;
mod join;
mod place;
mod verify;

pub(crate) use chains::{Chains, walk};
pub(crate) use day::Days;
pub(crate) use place::Place;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Prove that no record is missing, moved or changed
    Verify(verify::VerifyArguments),
    /// Write the records of a time, a team or an organisation into a file
    Export(export::ExportArguments),
    /// Make a key that seals and opens what is asked and answered, or narrow one down to an organisation
    Key(bodies::KeyArguments),
    /// Write a folder of made-up records to try it on
    Demo {
        /// The folder; made if it is not there
        folder: PathBuf,
        /// How many records
        #[arg(long, default_value_t = 10_000)]
        records: u64,
    },
}

/// Where the batches are.
#[derive(Debug, Args)]
pub(crate) struct LocationArguments {
    /// A folder, or s3://BUCKET; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL open the bucket
    pub(crate) location: String,
    /// Only the chains under this name, such as usage/region=eu
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) only: String,
}

pub(crate) fn run(command: AuditCommand) -> Result<String, Failure> {
    match command {
        AuditCommand::Verify(arguments) => verify::run(&arguments),
        AuditCommand::Export(arguments) => export::run(&arguments),
        AuditCommand::Key(arguments) => bodies::key(arguments),
        AuditCommand::Demo { folder, records } => demo::run(&folder, records),
    }
}
