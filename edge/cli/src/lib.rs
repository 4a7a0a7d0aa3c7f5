//! What the `sluice` command does: check and compile configurations, keep keys, look into the catalogue.
//!
//! Decides nothing that the worker decides too: the checks of a configuration are the core's own.
//! Every command returns the text to print, or a [`Failure`]; only `main` prints.
#![forbid(unsafe_code)]

mod admin;
mod audit;
mod catalogue;
mod config;
mod explain;
mod grants;
mod keys;
pub mod load;
mod receipt;
mod report;
mod resolve;
mod shape;
mod similar;
pub mod source;
mod sync;
mod zones;

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    about = "Configure and operate the Sluice gateway"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration and list everything that is wrong with it
    Check {
        /// The configuration
        #[arg(default_value = "sluice.toml")]
        file: PathBuf,
        /// Where it is to run
        #[arg(long, value_enum, default_value_t)]
        on: load::Runtime,
    },
    /// Check a configuration, fill in the catalogue's facts and write it as the worker reads it
    Compile {
        /// The configuration
        #[arg(default_value = "sluice.toml")]
        file: PathBuf,
        /// Where to write
        #[arg(long, default_value = "build/config.json")]
        out: PathBuf,
        /// Where it is to run
        #[arg(long, value_enum, default_value_t)]
        on: load::Runtime,
    },
    /// List the addresses that a compiled configuration calls and the secrets that it reads
    Grants {
        /// The configuration as `compile` has written it
        #[arg(default_value = "build/config.json")]
        file: PathBuf,
    },
    /// Make, list and revoke virtual keys
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// Change the configuration of a running gateway
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Say what a request by a key would do at a running gateway, without sending it
    Explain(explain::Explain),
    /// Look into the built-in catalogue of providers and models, or build it anew
    #[command(subcommand)]
    Catalogue(catalogue::CatalogueCommand),
    /// Prove the audit chains of a folder or bucket, and take records out of them
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Check receipts, and make keys that sign them
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Add up what the records of a period say
    #[command(subcommand)]
    Report(report::ReportCommand),
}

/// Where the gateway's admin API is, and what opens it.
#[derive(Debug, Args)]
struct AdminArguments {
    /// The gateway's address
    #[arg(long, default_value = "http://localhost:8787")]
    url: String,
    /// The environment variable that holds the admin token; without it, DIR/admin-token of --state is read
    #[arg(long, value_name = "NAME", default_value = "SLUICE_ADMIN_TOKEN")]
    admin_token_env: String,
    /// The state folder of a gateway that runs on this machine
    #[arg(long, value_name = "DIR", default_value = ".sluice")]
    state: PathBuf,
}

/// Why a command did not do its work. Displays as the lines to print.
#[derive(Debug)]
pub enum Failure {
    /// A configuration has faults, one a line.
    Faults(Vec<String>),
    /// A file could not be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The gateway could not be asked, or refused.
    Admin(admin::AdminError),
    /// What should be a key's identifier cannot be one. Not shown: it may be the secret.
    NotAnIdentifier,
    /// A request's file holds no JSON.
    Request {
        /// Which.
        path: PathBuf,
        /// Why.
        error: serde_json::Error,
    },
    /// A declared key cannot be brought about.
    Declared {
        /// Which, or the file where it is not known.
        key: String,
        /// Why.
        problem: String,
    },
    /// The catalogue holds nothing of that name.
    NotInCatalogue(String),
    /// The built-in catalogue is damaged.
    Catalogue(sluice_catalogue::LineError),
    /// A public table cannot be imported.
    Import(sluice_catalogue::import::ImportError),
    /// A value could not be written or read as JSON.
    Json(serde_json::Error),
    /// A bucket could not be asked.
    Bucket {
        /// The bucket or the object.
        name: String,
        /// Why.
        problem: String,
    },
    /// There are no batches.
    NoBatches(String),
    /// An audit chain is broken.
    Broken {
        /// What is to be said of the chains as far as they are good.
        text: String,
        /// The first fault of each broken chain.
        faults: Vec<String>,
    },
    /// A text is no day.
    Time {
        /// The text.
        text: String,
        /// What would be one.
        example: String,
    },
    /// A receipt or the published keys cannot be used.
    Receipt {
        /// Whose, or which file.
        receipt: String,
        /// What is wrong.
        problem: String,
    },
    /// There are no keys that open bodies.
    BodyKeys(String),
    /// A made-up record could not be made up.
    MadeUp(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(lines) => {
                for line in lines {
                    writeln!(f, "{line}")?;
                }
                let plural = if lines.len() == 1 { "" } else { "s" };
                writeln!(f, "{} problem{plural} found", lines.len())
            }
            Self::File { path, error } => writeln!(f, "{}: {error}", path.display()),
            Self::Admin(error) => writeln!(f, "{error}"),
            Self::NotAnIdentifier => writeln!(
                f,
                "that is not a key's identifier; `sluice key list` shows them (never give the secret itself)"
            ),
            Self::Request { path, error } => writeln!(f, "{}: {error}", path.display()),
            Self::Declared { key, problem } => writeln!(f, "{key}: {problem}"),
            Self::NotInCatalogue(name) => writeln!(
                f,
                "the catalogue knows no {name:?}; `sluice catalogue list` shows the providers"
            ),
            Self::Catalogue(error) => writeln!(f, "{error}"),
            Self::Import(error) => writeln!(f, "{error}"),
            Self::Json(error) => writeln!(f, "{error}"),
            Self::Bucket { name, problem } => writeln!(f, "{name}: {problem}"),
            Self::NoBatches(location) => writeln!(
                f,
                "{location}: there are no batches; give the folder or bucket that holds usage/ and registry/"
            ),
            Self::Broken { text, faults } => {
                write!(f, "{text}")?;
                for fault in faults {
                    writeln!(f, "{fault}")?;
                }
                let plural = if faults.len() == 1 { "" } else { "s" };
                writeln!(f, "{} fault{plural} found", faults.len())
            }
            Self::Time { text, example } => {
                writeln!(f, "{text:?} is no time such as {example}")
            }
            Self::Receipt { receipt, problem } => writeln!(f, "{receipt}: {problem}"),
            Self::BodyKeys(place) => writeln!(
                f,
                "{place}: there are no keys there that open bodies; each is ID:KEY as `sluice audit key` has made it, or ID/ORG:KEY"
            ),
            Self::MadeUp(problem) => writeln!(f, "{problem}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Does what the command line says and returns the text to print.
///
/// # Errors
/// [`Failure`], to be printed; nothing else has been printed then.
pub fn run(arguments: Arguments) -> Result<String, Failure> {
    match arguments.command {
        Command::Check { file, on } => config::check(&file, on),
        Command::Compile { file, out, on } => config::compile(&file, &out, on),
        Command::Grants { file } => grants::run(&file),
        Command::Key(command) => keys::run(command),
        Command::Config(command) => config::run(command),
        Command::Explain(explain) => explain::run(&explain),
        Command::Catalogue(command) => catalogue::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Receipt(command) => receipt::run(command),
        Command::Report(command) => report::run(command),
    }
}

fn read_file(path: &std::path::Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::File {
        path: path.to_owned(),
        error,
    })
}

fn write_file(path: &std::path::Path, text: &str) -> Result<(), Failure> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|error| Failure::File {
            path: path.to_owned(),
            error,
        })
}

/// Columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}
