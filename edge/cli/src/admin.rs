//! Talks to a gateway's admin API.
//!
//! The admin token goes over an encrypted connection or stays on this machine; it is never printed.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;
use sluice_units::Secret;
use ureq::http::{Response, Uri};
use ureq::{Agent, Body};

use crate::AdminArguments;

const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
const TOKEN_FILE: &str = "admin-token";

/// A gateway, ready to be asked.
#[derive(Debug)]
pub(crate) struct Admin {
    agent: Agent,
    url: String,
    token: Secret,
}

/// Why the admin API brought no answer.
#[derive(Debug)]
pub enum AdminError {
    /// There is no admin token.
    NoToken {
        /// The environment variable that was asked.
        variable: String,
        /// The file that was asked.
        file: String,
    },
    /// The address is no address.
    Address(String),
    /// The address would carry the token in the clear.
    Unencrypted(String),
    /// Nobody answered.
    Unreachable {
        /// Who was asked.
        url: String,
        /// Why.
        problem: String,
    },
    /// The gateway refused.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its own words.
        message: String,
    },
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken { variable, file } => write!(
                f,
                "no admin token: set {variable}, or run where {file} is (the first start of a local gateway makes it)"
            ),
            Self::Address(url) => write!(
                f,
                "--url {url:?} is not an address such as https://gateway.example.com"
            ),
            Self::Unencrypted(url) => write!(
                f,
                "--url {url:?} would send the admin token unencrypted; write https:// (http:// is for this machine only)"
            ),
            Self::Unreachable { url, problem } => write!(f, "no answer from {url}: {problem}"),
            Self::Refused { status, message } => {
                write!(f, "the gateway refused ({status}): {message}")
            }
        }
    }
}

impl std::error::Error for AdminError {}

impl Admin {
    pub(crate) fn open(arguments: &AdminArguments) -> Result<Self, AdminError> {
        let url = arguments.url.trim_end_matches('/').to_owned();
        check_address(&url)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .build();
        Ok(Self {
            agent: config.into(),
            url,
            token: token(arguments)?,
        })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, AdminError> {
        let request = self.agent.get(self.address(path));
        self.answer(request.header("authorization", self.bearer()).call())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, AdminError> {
        let mut request = self.agent.post(self.address(path));
        // For the audit chain.
        if let Ok(author) = std::env::var("USER") {
            request = request.header("x-sluice-author", author);
        }
        let request = request.header("authorization", self.bearer());
        self.answer(
            request
                .content_type("application/json")
                .send(body.to_string()),
        )
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, AdminError> {
        let request = self.agent.put(self.address(path));
        let request = request.header("authorization", self.bearer());
        self.answer(
            request
                .content_type("application/json")
                .send(body.to_string()),
        )
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token.expose())
    }

    fn answer(&self, result: Result<Response<Body>, ureq::Error>) -> Result<Value, AdminError> {
        let unreachable = |error: ureq::Error| AdminError::Unreachable {
            url: self.url.clone(),
            problem: error.to_string(),
        };
        let mut response = result.map_err(unreachable)?;
        let status = response.status();
        let reader = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let text = reader.read_to_string().map_err(unreachable)?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() && !value.is_null() {
            return Ok(value);
        }
        let said = value.pointer("/error/message").and_then(Value::as_str);
        let message = said.unwrap_or("the answer is not that of a Sluice gateway");
        Err(AdminError::Refused {
            status: status.as_u16(),
            message: message.to_owned(),
        })
    }
}

fn token(arguments: &AdminArguments) -> Result<Secret, AdminError> {
    let variable = &arguments.admin_token_env;
    let file = arguments.state.join(TOKEN_FILE);
    let text = std::env::var(variable)
        .or_else(|_| std::fs::read_to_string(&file))
        .unwrap_or_default();
    let text = text.trim();
    if text.is_empty() {
        return Err(AdminError::NoToken {
            variable: variable.clone(),
            file: file.display().to_string(),
        });
    }
    Ok(Secret::new(text.to_owned()))
}

fn check_address(url: &str) -> Result<(), AdminError> {
    let bad = || AdminError::Address(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let host = uri.host().ok_or_else(bad)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if here => Ok(()),
        Some("http") => Err(AdminError::Unencrypted(url.to_owned())),
        _ => Err(bad()),
    }
}
