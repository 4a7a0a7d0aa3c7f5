//! Folders beside the project, and the project's own fixtures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A folder that an environment variable names, or that lies beside the project. Says so where there is none.
pub(crate) fn beside(variable: &str, name: &str) -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os(variable)
        .map_or_else(|| project.join("../shared").join(name), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "SKIPPED: no {name} at {}; {variable} names their folder",
        folder.display()
    );
    None
}

/// The project's fixtures in this folder whose names begin so, by name.
pub(crate) fn fixtures(folder: &str, kind: &str) -> BTreeMap<String, Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let files: BTreeMap<String, Value> = fs::read_dir(root.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = fs::read(&path).unwrap();
            let value = serde_json::from_slice(&text);
            (
                name,
                value.unwrap_or_else(|error| panic!("{path:?}: {error}")),
            )
        })
        .filter(|(name, _)| name.starts_with(kind))
        .collect();
    assert!(!files.is_empty(), "no fixtures {folder}/{kind}*");
    files
}
