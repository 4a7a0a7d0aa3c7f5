//! Builds the worker into `build/`: the wasm, its JavaScript, the shim and the configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::arrange::arrange;
use crate::manifest;
use crate::options::Options;
use crate::step::{self, Failure, doing, step};
use crate::tools;

/// Where the worker goes.
pub(crate) const OUT: &str = "build";

/// Where the hand-written modules are, which go with the wasm as they are.
const MODULES: &[&str] = &["edge/cloudflare/js", "durable/objects/js"];

/// What the compiler emits and the platform runs; wasm-opt must not use more.
const WASM_FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-call-indirect-overlong",
    "--enable-exception-handling",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Builds the worker.
pub(crate) fn worker(options: &Options) -> Result<(), Failure> {
    tools::require_node()?;
    tools::require_target(tools::WASM_TARGET)?;
    tools::require_packages()?;
    fs::create_dir_all(OUT).map_err(doing(OUT))?;
    let json = Path::new(OUT).join("config.json");
    step("configuration", || {
        configuration(&options.config, &json, "workers")?;
        wrap(&json)
    })?;
    let release = options.release || is_deployment();
    let wasm = step("cargo build (worker)", || compile(release))?;
    let stamp = stamp(&wasm, release)?;
    let stamp_path = Path::new(OUT).join(".stamp");
    let is_made = Path::new(OUT).join("index_bg.wasm").exists();
    if is_made && fs::read_to_string(&stamp_path).is_ok_and(|found| found == stamp) {
        eprintln!("==> wasm-bindgen: nothing has changed");
    } else {
        // What is half done must not pass for done.
        fs::write(&stamp_path, "").map_err(doing(OUT))?;
        step("wasm-bindgen", || bind(&wasm, Path::new(OUT)))?;
        if release {
            step("wasm-opt", || optimize(Path::new(OUT)))?;
            require_no_paths(&Path::new(OUT).join("index_bg.wasm"))?;
        }
        fs::write(&stamp_path, stamp).map_err(doing(OUT))?;
    }
    write_hash()?;
    for directory in MODULES {
        copy_modules(Path::new(directory)).map_err(doing(directory))?;
    }
    manifest::write()?;
    print_sizes()
}

/// Writes down the wasm's hash in a module of its own: it cannot hold it itself.
fn write_hash() -> Result<(), Failure> {
    let hash = sha256(&Path::new(OUT).join("index_bg.wasm"))?;
    let module = format!("export default {};\n", javascript_string(&hash));
    write_if_changed(&Path::new(OUT).join("wasm.js"), module.as_bytes())
}

/// A file's SHA-256, in lower-case hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(doing(&path.display().to_string()))?;
    let digest = Sha256::digest(&bytes);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Copies a directory's modules.
fn copy_modules(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        fs::copy(entry.path(), Path::new(OUT).join(entry.file_name()))?;
    }
    Ok(())
}

/// Checks and compiles the configuration into a document that says everything, for where it is to run.
pub(crate) fn configuration(config: &Path, json: &Path, on: &str) -> Result<(), Failure> {
    let name = config.display();
    if !config.exists() {
        return Err(Failure::new(format!("no configuration at {name}")));
    }
    // A document that is resolved already is taken as it is.
    if config
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        fs::copy(config, json).map_err(doing(&name.to_string()))?;
        return Ok(());
    }
    let compiled = tools::cargo()
        .args(["run", "--quiet", "--package", "sluice-cli", "--", "compile"])
        .arg(config)
        .args(["--on", on, "--out"])
        .arg(json)
        .status()
        .map_err(doing("cargo run --package sluice-cli"))?;
    if !compiled.success() {
        return Err(Failure::new(format!("{name} cannot be used; see above")));
    }
    Ok(())
}

/// Makes a module out of the resolved configuration.
fn wrap(json: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(json).map_err(doing("build/config.json"))?;
    let module = format!("export default {};\n", javascript_string(&text));
    write_if_changed(&Path::new(OUT).join("config.js"), module.as_bytes())
}

/// A text as a JavaScript string literal.
fn javascript_string(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + text.len() / 8 + 2);
    literal.push('"');
    for c in text.chars() {
        match c {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                literal.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => literal.push(c),
        }
    }
    literal.push('"');
    literal
}

/// Compiles the worker and returns where its wasm is.
fn compile(release: bool) -> Result<PathBuf, Failure> {
    let root = std::env::current_dir().map_err(doing("this folder"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    compile_at(&root, Path::new(&target), release)
}

/// Compiles the worker of the source at `root`.
pub(crate) fn compile_at(root: &Path, target: &Path, release: bool) -> Result<PathBuf, Failure> {
    let profile = if release { "release" } else { "edge-dev" };
    let mut cargo = tools::cargo();
    cargo
        .current_dir(root)
        .args(["build", "--locked", "--package", "sluice-cloudflare"])
        .args(["--profile", profile, "--target", tools::WASM_TARGET])
        .arg("--target-dir")
        .arg(target);
    if release {
        cargo.env("CARGO_ENCODED_RUSTFLAGS", remapped(root).join("\x1f"));
        cargo.env_remove("RUSTFLAGS");
    }
    step::run(&mut cargo)?;
    Ok(target
        .join(tools::WASM_TARGET)
        .join(profile)
        .join("sluice_cloudflare.wasm"))
}

/// Flags that keep this machine's paths out of what is built, so that the same source gives the same bytes anywhere.
fn remapped(root: &Path) -> Vec<String> {
    let mut flags: Vec<String> = std::env::var("RUSTFLAGS")
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let mut remap = |from: &Path, to: &str| {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    };
    remap(root, "/sluice");
    if let Some(home) = cargo_home() {
        remap(&home, "/cargo");
    }
    // Where the standard library's source is installed, the compiler writes its path.
    let sysroot = step::output(Command::new("rustc").args(["--print", "sysroot"]));
    let version = step::output(Command::new("rustc").arg("-vV")).unwrap_or_default();
    let commit = version
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "));
    if let (Some(sysroot), Some(commit)) = (sysroot, commit) {
        let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
        remap(&source, &format!("/rustc/{commit}"));
    }
    flags
}

/// Fails where a path of this machine is in what was built: another machine would build other bytes.
///
/// This is what mostly goes wrong, seen at once; that nothing else does shows `cargo xtask reproduce`.
fn require_no_paths(wasm: &Path) -> Result<(), Failure> {
    let bytes = fs::read(wasm).map_err(doing(&wasm.display().to_string()))?;
    let root = std::env::current_dir().ok();
    let sysroot = step::output(Command::new("rustc").args(["--print", "sysroot"]));
    let sysroot = sysroot.map(|path| PathBuf::from(path.trim()));
    let found = [root, cargo_home(), sysroot]
        .into_iter()
        .flatten()
        .find(|path| holds(&bytes, path.display().to_string().as_bytes()));
    found.map_or(Ok(()), |path| {
        Err(Failure::new(format!(
            "{} holds the path {}: it cannot be built again elsewhere",
            wasm.display(),
            path.display()
        )))
    })
}

/// Whether some bytes stand among others. Of none nothing is known.
fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"));
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| Path::new(&home).join(".cargo")))
}

/// Wrangler builds through this too, and says what for.
fn is_deployment() -> bool {
    std::env::var("WRANGLER_COMMAND")
        .is_ok_and(|command| command == "deploy" || command.starts_with("versions"))
}

/// What the output is made from, and by what: the same stamp, the same output.
fn stamp(wasm: &Path, release: bool) -> Result<String, Failure> {
    let itself = std::env::current_exe().map_err(doing("this program"))?;
    let mut stamp = format!("release {release}");
    for file in [wasm, &itself] {
        let (length, modified) = fs::metadata(file)
            .and_then(|metadata| Ok((metadata.len(), metadata.modified()?)))
            .map_err(doing(&file.display().to_string()))?;
        let since = modified
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        stamp.push_str(&format!(", {length} bytes at {} ns", since.as_nanos()));
    }
    Ok(stamp)
}

/// Makes the wasm's JavaScript side.
pub(crate) fn bind(wasm: &Path, out: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("wasm-bindgen: {error:#}"));
    let mut output = Bindgen::new()
        .input_path(wasm)
        .out_name("index")
        .module(true)
        .map_err(failed)?
        .typescript(false)
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate_output()
        .map_err(failed)?;
    // The bundlers at hand do not know the source phase of imports; the platform's plain import means the same.
    let javascript = one_import_each(&output.js().replace("import source ", "import "));
    let binary = output.wasm_mut().emit_wasm();
    write_if_changed(&out.join("index.js"), javascript.as_bytes())?;
    write_if_changed(&out.join("index_bg.wasm"), &binary)
}

/// Leaves out what a module's further `import * as importN` lines repeat: bundlers warn of the repeated keys.
fn one_import_each(javascript: &str) -> String {
    let mut seen: Vec<&str> = Vec::new();
    let mut repeated: Vec<&str> = Vec::new();
    let mut kept = String::with_capacity(javascript.len());
    for line in javascript.lines() {
        let star = line.strip_prefix("import * as ");
        if let Some((name, module)) = star.and_then(|rest| rest.split_once(" from ")) {
            if seen.contains(&module) {
                repeated.push(name);
                continue;
            }
            seen.push(module);
        }
        let value = line
            .strip_suffix(',')
            .and_then(|line| line.split_once(": "));
        if value.is_some_and(|(_, value)| repeated.contains(&value)) {
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

/// Makes the wasm smaller and quicker.
pub(crate) fn optimize(out: &Path) -> Result<(), Failure> {
    let path = out.join("index_bg.wasm");
    let wasm = path.display().to_string();
    step::run(
        Command::new("node")
            .arg("node_modules/binaryen/bin/wasm-opt")
            .args(["-Os", "--strip-debug", "--strip-producers"])
            .args(WASM_FEATURES)
            .args([&wasm, "-o", &wasm]),
    )?;
    let optimized = fs::read(&path).map_err(doing(&wasm))?;
    let arranged = arrange(&optimized)
        .map_err(|error| Failure::new(format!("{wasm} cannot be arranged: {error}")))?;
    fs::write(&path, arranged).map_err(doing(&wasm))
}

/// Leaves a file that is right already alone, so that whoever watches it does not start again.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(doing(&path.display().to_string()))
}

fn print_sizes() -> Result<(), Failure> {
    const SCRIPT: &str = "const b = require('fs').readFileSync(process.argv[1]); \
        const kb = n => (n / 1024).toFixed(0) + ' KB'; \
        console.log(process.argv[1], kb(b.length), 'raw,', kb(require('zlib').gzipSync(b).length), 'gzip')";
    step::run(Command::new("node").args(["-e", SCRIPT, &format!("{OUT}/index_bg.wasm")]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_imported_once() {
        let written = "import * as import1 from \"./a.js\"\nimport * as import2 from \"./b.js\"\n\
            import * as import3 from \"./a.js\"\n{\n\"./a.js\": import1,\n\"./b.js\": import2,\n\"./a.js\": import3,\n}\n";
        let expected = "import * as import1 from \"./a.js\"\nimport * as import2 from \"./b.js\"\n\
            {\n\"./a.js\": import1,\n\"./b.js\": import2,\n}\n";
        assert_eq!(one_import_each(written), expected);
    }

    #[test]
    fn a_path_is_found_wherever_it_stands() {
        assert!(holds(b"\0asm/build/ada/sluice", b"/build/ada"));
        assert!(!holds(b"\0asm/build/bob/sluice", b"/build/ada"));
        assert!(!holds(b"\0asm", b""));
        let file = std::env::current_exe().unwrap();
        // A development build holds the paths of the machine.
        assert!(require_no_paths(&file).is_err());
    }

    #[test]
    fn a_string_literal_says_what_the_text_says() {
        assert_eq!(
            javascript_string("{\"a\": \"\\n\u{2028}é\"}\n"),
            r#""{\"a\": \"\\n\u2028é\"}\n""#
        );
    }
}
