//! Builds the worker's wasm twice, from two copies of the source at different paths, and compares the bytes.
//!
//! What makes them the same stands in [`crate::build`]: paths are taken out of what the compiler writes, the tools are
//! those of the lock files, and nothing of the machine goes in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;
use crate::step::{self, Failure, doing, step};
use crate::tools;

/// Builds twice and compares.
pub(crate) fn run() -> Result<(), Failure> {
    tools::require_node()?;
    tools::require_target(tools::WASM_TARGET)?;
    tools::require_packages()?;
    let base = std::env::temp_dir().join(format!("sluice-reproduce-{}", std::process::id()));
    let outcome = both(&base);
    // What is left is a copy of the source and what was built of it.
    let _ = fs::remove_dir_all(&base);
    let [one, other] = outcome?;
    println!("{one}\n{other}");
    if one == other {
        println!("the same bytes from two paths");
        return Ok(());
    }
    Err(Failure::new(
        "the two builds differ: something of the path or the machine is in the wasm".to_owned(),
    ))
}

fn both(base: &Path) -> Result<[String; 2], Failure> {
    // Not even as long as each other.
    let roots = ["one", "a/second/and/longer/path"].map(|name| base.join(name));
    // Both at once: whoever works on meanwhile changes neither.
    for root in &roots {
        step(&format!("copy the source to {}", root.display()), || {
            copy(root)
        })?;
    }
    let mut hashes = Vec::new();
    for root in &roots {
        let wasm = step("cargo build (worker, release)", || {
            build::compile_at(root, &root.join("target"), true)
        })?;
        let out = root.join("build");
        fs::create_dir_all(&out).map_err(doing("the copy's build folder"))?;
        step("wasm-bindgen and wasm-opt", || {
            build::bind(&wasm, &out)?;
            build::optimize(&out)
        })?;
        hashes.push(build::sha256(&out.join("index_bg.wasm"))?);
        let _ = fs::remove_dir_all(root.join("target"));
    }
    let [one, other] = <[String; 2]>::try_from(hashes)
        .map_err(|_| Failure::new("two builds have two hashes".to_owned()))?;
    Ok([one, other])
}

/// Copies what git knows, as it stands in the work tree.
fn copy(root: &Path) -> Result<(), Failure> {
    let listed = step::output(Command::new("git").args(["ls-files", "--recurse-submodules"]))
        .ok_or_else(|| Failure::new("git does not list the source".to_owned()))?;
    for name in listed.lines() {
        let to: PathBuf = root.join(name);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(doing(name))?;
        }
        if Path::new(name).is_file() {
            fs::copy(name, &to).map_err(doing(name))?;
        }
    }
    Ok(())
}
