//! Builds the catalogue's files from public tables.
//!
//! The first table (models.dev's) says which providers and models there are and wins where two disagree; the second
//! (the community's price file) fills in kinds of price that the first does not have and adds dated versions of models;
//! the third adds regional addresses. What had to be left out or looked wrong is named in the notes.
//! Prices are read digit by digit and written as decimal text.

mod known;
mod models_dev;
mod places;
mod price_file;
mod regions;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::facts::{ModelFacts, ProviderFacts};

/// The catalogue's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The file of providers.
    pub providers: String,
    /// The file of models.
    pub models: String,
    /// What was left out, and what looked wrong.
    pub notes: Vec<String>,
}

/// A table that cannot be read.
#[derive(Debug)]
pub struct ImportError {
    /// Which one.
    pub table: &'static str,
    /// What is wrong.
    pub problem: serde_json::Error,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} cannot be read: {}", self.table, self.problem)
    }
}

impl std::error::Error for ImportError {}

/// What has been gathered so far.
#[derive(Debug, Default)]
struct Gathered {
    providers: BTreeMap<String, ProviderFacts>,
    /// By provider and model.
    models: BTreeMap<(String, String), ModelFacts>,
    notes: Vec<String>,
}

/// Builds the catalogue's files.
///
/// # Errors
/// [`ImportError`] when a table is not what its publisher says.
pub fn import(models_dev: &str, prices: &str, regions: &str) -> Result<Imported, ImportError> {
    let mut gathered = Gathered::default();
    models_dev::read(models_dev, &mut gathered).map_err(|problem| ImportError {
        table: "table of models",
        problem,
    })?;
    known::add_local(&mut gathered);
    price_file::read(prices, &mut gathered).map_err(|problem| ImportError {
        table: "price file",
        problem,
    })?;
    regions::read(regions, &mut gathered).map_err(|problem| ImportError {
        table: "table of regions",
        problem,
    })?;
    places::add(&mut gathered);
    let write = |problem| ImportError {
        table: "result",
        problem,
    };
    Ok(Imported {
        providers: write_lines(gathered.providers.values()).map_err(write)?,
        models: write_lines(gathered.models.values()).map_err(write)?,
        notes: gathered.notes,
    })
}

fn write_lines<'a, T: Serialize + 'a>(
    values: impl Iterator<Item = &'a T>,
) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for value in values {
        text.push_str(&serde_json::to_string(value)?);
        text.push('\n');
    }
    Ok(text)
}
