//! Builds the worker and serves it on this machine.

use std::net::TcpListener;
use std::process::Command;

use crate::build;
use crate::options::Options;
use crate::step::{Failure, become_program, doing};
use crate::tools;

/// The program that serves what was built.
const SERVER: &str = "edge/cloudflare/dev/main.mjs";

/// Builds and serves until the process is told to stop.
pub(crate) fn serve(options: &Options) -> Result<(), Failure> {
    // Before the long part: what will fail anyway fails at once.
    tools::require_node()?;
    require_port(&options.host, options.port)?;
    build::worker(options)?;
    let mut node = Command::new("node");
    node.arg(SERVER)
        .args(["--host", &options.host, "--port", &options.port.to_string()])
        .arg("--state")
        .arg(&options.state);
    if let Some(file) = &options.ready_file {
        // A file of an earlier run must not say that this one serves.
        if file.exists() {
            std::fs::remove_file(file).map_err(doing(&file.display().to_string()))?;
        }
        node.arg("--ready-file").arg(file);
    }
    become_program(&mut node)
}

fn require_port(host: &str, port: u16) -> Result<(), Failure> {
    match TcpListener::bind((host, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(Failure::new(format!(
            "port {port} is in use; choose another with --port"
        ))),
        Err(error) => Err(Failure::new(format!(
            "cannot listen on {host}:{port}: {error}"
        ))),
    }
}
