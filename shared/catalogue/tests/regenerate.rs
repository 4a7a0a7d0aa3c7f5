//! The files in the tree are what the import makes of the public tables.

use std::fs;
use std::path::{Path, PathBuf};

use sluice_catalogue::import::import;
use sluice_catalogue::{MODELS, PROVIDERS};

/// The folder that holds the tables, where it is there.
fn tables() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("SLUICE_DATA").map_or(beside, PathBuf::from);
    folder.join("models_dev.json").is_file().then_some(folder)
}

#[test]
fn the_files_are_what_the_import_makes() {
    let Some(folder) = tables() else {
        eprintln!("skipped: no tables; set SLUICE_DATA to the folder that holds models_dev.json");
        return;
    };
    let table = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let imported = import(
        &table("models_dev.json"),
        &table("model_prices.json"),
        &table("providers_eu_baa.json"),
    )
    .unwrap();
    // Not assert_eq: a difference would print both files.
    assert!(
        imported.providers == PROVIDERS,
        "providers.jsonl differs; run `sluice catalogue import`"
    );
    assert!(
        imported.models == MODELS,
        "models.jsonl differs; run `sluice catalogue import`"
    );
}
