//! Runs a Spin application with one WASIp3 HTTP component, without the spin command: what the tests need of it.
//!
//! HTTP in and out, files, variables, SQLite and Redis, each as far as the manifest grants it. Instances are reused as
//! Spin reuses them. Knows nothing of what the component does.

mod host;
mod instances;
mod manifest;
mod redis;
mod serve;
mod sqlite;
mod variables;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// What was asked for on the command line.
struct Options {
    manifest: PathBuf,
    listen: SocketAddr,
    state: PathBuf,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut manifest = PathBuf::from("spin.toml");
        let mut listen = String::from("127.0.0.1:3000");
        let mut state = None;
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .with_context(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--from" => manifest = value.into(),
                "--listen" => listen = value,
                "--state-dir" => state = Some(PathBuf::from(value)),
                _ => bail!(
                    "unknown option {name}; known: --from FILE --listen ADDRESS --state-dir DIR"
                ),
            }
        }
        let beside = || manifest.with_file_name(".spin");
        Ok(Self {
            state: state.unwrap_or_else(beside),
            listen: listen.parse().context("--listen")?,
            manifest,
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse()?;
    std::fs::create_dir_all(&options.state)?;
    let manifest = manifest::Manifest::read(&options.manifest)?;
    let application = host::Application::new(manifest, options.state)?;
    serve::run(application, options.listen).await
}
