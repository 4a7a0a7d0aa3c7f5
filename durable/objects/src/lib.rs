//! The Durable Objects: one for each organisation's ledger in a region, one for the registry, and one
//! for what each region knows of its providers.
//!
//! An object loads rows, lets a machine decide, and commits, without giving up control in between; so its memory is
//! exact, and what it has answered is on disk. Which rows there are and what they mean is the machines' business.
//! **Invariant:** no `await` between a load and its commit.

mod clock;
mod health;
mod ledger;
mod notify;
mod registry;
mod ship;
mod sql;
mod storage;
mod store;

use wasm_bindgen::prelude::*;

pub use health::{HealthObject, Lookout, Told, set_lookout};
pub use ledger::{LedgerObject, set_ship_interval};
pub use notify::set_receivers;
pub use registry::RegistryObject;
pub use ship::{ShipError, Suffixes, probe_records, set_records_suffixes};

#[wasm_bindgen]
extern "C" {
    /// One line for the operator's log.
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn log(line: &str);
}
