//! Rules of the repository, as tests: what a compiler does not check and a reviewer forgets.
//!
//! The rules stand in `tests/rules.rs`; this library only reads the tree.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

/// One text file of the repository.
#[derive(Debug)]
pub struct SourceFile {
    /// Its path from the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

const SKIPPED_DIRECTORIES: [&str; 9] = [
    ".git",
    "target",
    "node_modules",
    "build",
    ".sluice",
    ".wrangler",
    ".venv",
    ".terraform",
    "__pycache__",
];
const TEXT_ENDINGS: [&str; 13] = [
    "rs", "toml", "md", "mjs", "js", "json", "py", "yml", "yaml", "sh", "tf", "hcl", "go",
];

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every text file, in the order of the paths.
///
/// # Panics
/// When the tree cannot be read.
#[must_use]
pub fn files() -> Vec<SourceFile> {
    let root = root();
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn collect(root: &Path, directory: &Path, found: &mut Vec<SourceFile>) {
    let entries = fs::read_dir(directory).expect("a directory of the repository can be read");
    for entry in entries {
        let path = entry.expect("an entry can be read").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        if path.is_dir() {
            if !SKIPPED_DIRECTORIES.contains(&name.as_str()) {
                collect(root, &path, found);
            }
            continue;
        }
        let ending = path
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default();
        let is_ci = path.ends_with(".ci/run");
        if !TEXT_ENDINGS.contains(&ending) && !is_ci {
            continue;
        }
        let relative = path.strip_prefix(root).expect("the file is below the root");
        found.push(SourceFile {
            path: relative.to_string_lossy().replace('\\', "/"),
            text: fs::read_to_string(&path).expect("a text file is UTF-8"),
        });
    }
}

/// A Rust file's lines before its tests.
#[must_use]
pub fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or(text)
}
