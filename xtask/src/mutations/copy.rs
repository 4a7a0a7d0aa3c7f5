//! The copy of the sources that the breaks are built into.

use std::fs;
use std::path::Path;

use super::{COPY, Mutation, all};
use crate::step::{Failure, doing};

const COPIED: &[&str] = &["shared", "durable", "edge", "tests", "xtask", ".cargo"];
const SKIPPED: &[&str] = &["target", "node_modules", "build", "__pycache__"];
/// The switch, as it stands in the copy.
const SWITCH: &str = r#"
#[allow(missing_docs)]
pub mod mutation {
    pub fn is(name: &str) -> bool {
        static CURRENT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        CURRENT.get_or_init(|| std::env::var("SLUICE_MUTATION").unwrap_or_default()) == name
    }
}
"#;

/// Copies the sources, with every break in them.
pub(super) fn make() -> Result<(), Failure> {
    let root = Path::new(COPY);
    for name in [
        "Cargo.toml",
        "Cargo.lock",
        "clippy.toml",
        "rust-toolchain.toml",
    ] {
        fs::create_dir_all(root).map_err(doing(COPY))?;
        copy_file(Path::new(name), &root.join(name), Ok)?;
    }
    for name in COPIED {
        copy_directory(Path::new(name), &root.join(name))?;
    }
    Ok(())
}

fn copy_directory(from: &Path, to: &Path) -> Result<(), Failure> {
    let name = from.display().to_string();
    fs::create_dir_all(to).map_err(doing(&name))?;
    for entry in fs::read_dir(from).map_err(doing(&name))? {
        let path = entry.map_err(doing(&name))?.path();
        let file = path.file_name().unwrap_or_default();
        if SKIPPED.iter().any(|skipped| file == *skipped) {
            continue;
        }
        let target = to.join(file);
        if path.is_dir() {
            copy_directory(&path, &target)?;
        } else {
            copy_file(&path, &target, |text| broken(&path, text))?;
        }
    }
    Ok(())
}

/// Copies a file, changed if it is text; one that is the same already keeps its time, so that little is built again.
fn copy_file(
    from: &Path,
    to: &Path,
    change: impl FnOnce(String) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let name = from.display().to_string();
    let bytes = fs::read(from).map_err(doing(&name))?;
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => change(text)?.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    if fs::read(to).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    fs::write(to, bytes).map_err(doing(&name))
}

/// A file with the breaks that belong into it.
pub(super) fn broken(path: &Path, mut text: String) -> Result<String, Failure> {
    let path = path.to_string_lossy().replace('\\', "/");
    if path == "shared/units/src/lib.rs" {
        text.push_str(SWITCH);
    }
    for Mutation { name, edits } in all() {
        for (_, old, new) in edits.iter().filter(|(file, ..)| *file == path) {
            if text.matches(old).count() != 1 {
                return Err(Failure::new(format!(
                    "the place of the break {name:?} is not in {path}, or not once; see xtask/src/mutations.rs"
                )));
            }
            let is = format!("sluice_units::mutation::is({name:?})");
            text = text.replacen(old, &new.replace("{is}", &is), 1);
        }
    }
    Ok(text)
}
