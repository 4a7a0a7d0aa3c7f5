//! The menu. Everything that people and CI do here is a subcommand, and needs rustup's cargo and Node alone.

mod arrange;
mod bench;
mod bless;
mod build;
mod check;
mod dev;
mod fuzz;
mod manifest;
mod mutations;
mod options;
mod reproduce;
mod sim;
mod spin;
mod step;
mod terraform;
mod test;
mod tools;

use std::process::ExitCode;

use options::Options;
use step::Failure;

const HELP: &str = "\
usage: cargo xtask <command> [options]

commands:
  build   build the worker into build/          [--release] [--config FILE]
  build spin
          build the Spin component into         [--release] [--config FILE] [--manifest FILE]
          build/spin/ and write its manifest
  dev     build and serve the gateway           [--release] [--config FILE] [--port N] [--host ADDRESS]
                                                [--state DIR] [--ready-file FILE]
  reproduce
          build the worker's wasm at two paths and compare the bytes
  bench   compare the gateway with a bare       [--seconds N] [--connections 1,16,64] [--kinds chat,burst,paced]
          pass-through worker                   [--state DIR] [--json FILE] [--subject gateway|floor]
                                                the translation alone, also in wasm: --kinds wire
  bless   write anew what tests compare with: snapshots, and the tables of docs/dialects.md
  sim     run the core in a simulated world,    [--requests N] [--seed S] [--threads N] [--log]
          with faults, and check what must hold [--mutations]
  fuzz    feed the decoders what nobody sends   [TARGET [INPUT]] [--seconds N]
  check   format, lints, licences
  terraform
          tests of the Terraform modules        [needs Terraform or OpenTofu, and Go; says what it leaves out]
  test    everything but Spin: unit tests, simulation, build, end to end, Terraform
  test spin
          build the component and a host for it, end to end on SQLite and on Redis

options:
  --release          build small and quick to run, slow to compile
  --config FILE      the configuration           (default: sluice.toml)
  --manifest FILE    where the manifest goes     (default: spin.toml)
  --port N           the port to listen on       (default: 8787; 0 takes a free one)
  --host ADDRESS     the address to listen on    (default: 127.0.0.1)
  --state DIR        where state is kept         (default: .sluice)
  --ready-file FILE  write url, key and admin token as JSON once it serves";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    tools::enter_root()?;
    match command.as_str() {
        "build" => match rest.split_first() {
            Some((target, rest)) if target == "spin" => {
                let allowed = ["--release", "--config", "--manifest"];
                spin::component(&Options::parse(rest, &allowed)?)
            }
            _ => build::worker(&Options::parse(&rest, &["--release", "--config"])?),
        },
        "dev" => dev::serve(&Options::parse(&rest, options::ALL)?),
        "bench" => bench::run(&rest),
        "bless" => Options::parse(&rest, &[]).and_then(|_| bless::run()),
        "reproduce" => Options::parse(&rest, &[]).and_then(|_| reproduce::run()),
        "sim" => sim::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "check" => Options::parse(&rest, &[]).and_then(|_| check::run()),
        "terraform" => Options::parse(&rest, &[]).and_then(|_| terraform::run()),
        "test" => match rest.split_first() {
            Some((target, rest)) if target == "spin" => {
                Options::parse(rest, &[]).and_then(|_| spin::test())
            }
            _ => Options::parse(&rest, &[]).and_then(|_| test::run()),
        },
        "" | "help" | "-h" | "--help" => {
            println!("{HELP}");
            Ok(())
        }
        unknown => Err(Failure::new(format!(
            "no command {unknown:?}; `cargo xtask help` lists them"
        ))),
    }
}
