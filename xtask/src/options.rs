//! The command line's options. Knows what each means, not what is done with it.

use std::path::PathBuf;

use crate::step::Failure;

/// The port of a development gateway.
const PORT_DEFAULT: u16 = 8787;

/// Every option that there is.
pub(crate) const ALL: &[&str] = &[
    "--release",
    "--config",
    "--port",
    "--host",
    "--state",
    "--ready-file",
    "--manifest",
];

/// What was asked for on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Build small and quick to run.
    pub(crate) release: bool,
    /// The configuration.
    pub(crate) config: PathBuf,
    /// The port to listen on; 0 takes a free one.
    pub(crate) port: u16,
    /// The address to listen on.
    pub(crate) host: String,
    /// Where state is kept.
    pub(crate) state: PathBuf,
    /// Where the manifest of the Spin application goes.
    pub(crate) manifest: PathBuf,
    /// Where to say that the gateway serves.
    pub(crate) ready_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            release: false,
            config: PathBuf::from("sluice.toml"),
            port: PORT_DEFAULT,
            host: "127.0.0.1".to_owned(),
            state: PathBuf::from(".sluice"),
            manifest: PathBuf::from("spin.toml"),
            ready_file: None,
        }
    }
}

impl Options {
    /// Reads the arguments; only the `allowed` options are known to the command.
    pub(crate) fn parse(arguments: &[String], allowed: &[&str]) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            if !allowed.contains(&name) {
                return Err(Failure::new(format!(
                    "unknown option {argument:?}; `cargo xtask help` lists them"
                )));
            }
            if name == "--release" && inline.is_none() {
                options.release = true;
                continue;
            }
            let value = inline
                .or_else(|| rest.next().cloned())
                .filter(|value| !value.is_empty() && !value.starts_with("--"))
                .ok_or_else(|| Failure::new(format!("{name} needs a value")))?;
            options.set(name, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Failure> {
        match name {
            "--config" => self.config = PathBuf::from(value),
            "--host" => self.host = value,
            "--state" => self.state = PathBuf::from(value),
            "--manifest" => self.manifest = PathBuf::from(value),
            "--ready-file" => self.ready_file = Some(PathBuf::from(value)),
            "--port" => {
                self.port = value.parse().map_err(|_| {
                    Failure::new(format!(
                        "--port {value:?} is no port; write a number from 0 to 65535"
                    ))
                })?;
            }
            _ => return Err(Failure::new(format!("{name} takes no value"))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&arguments, ALL).map_err(|failure| failure.to_string())
    }

    #[test]
    fn no_options_mean_the_defaults() {
        assert_eq!(parse(""), Ok(Options::default()));
    }

    #[test]
    fn values_follow_a_space_or_an_equals_sign() {
        let expected = Options {
            release: true,
            port: 0,
            state: PathBuf::from("s"),
            ..Options::default()
        };
        assert_eq!(parse("--release --port 0 --state=s"), Ok(expected));
    }

    #[test]
    fn a_bad_option_is_named() {
        for (line, expected) in [
            (
                "--prot 1",
                "unknown option \"--prot\"; `cargo xtask help` lists them",
            ),
            ("--port", "--port needs a value"),
            ("--port --release", "--port needs a value"),
            (
                "--port 70000",
                "--port \"70000\" is no port; write a number from 0 to 65535",
            ),
            ("--release=yes", "--release takes no value"),
        ] {
            assert_eq!(parse(line), Err(expected.to_owned()), "{line}");
        }
    }
}
