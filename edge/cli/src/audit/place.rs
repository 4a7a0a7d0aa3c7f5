//! Where batches are kept: a folder on this machine, or a bucket that speaks S3.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use sluice_units::Secret;
use sluice_units::Timestamp;
use sluice_wire::s3::{self, Bucket, Call};
use ureq::Agent;

use crate::Failure;

/// How large one batch may be when it is unpacked: far more than the gateway ever writes.
const BATCH_BYTES_MAX: u64 = 256 << 20;
const TIMEOUT: Duration = Duration::from_secs(120);

/// A place.
pub(crate) enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, and the way to it.
    S3(Box<Bucket>, Agent),
}

impl Place {
    /// The place that a text names.
    pub(crate) fn open(location: &str) -> Result<Self, Failure> {
        let Some(name) = location.strip_prefix("s3://") else {
            return Ok(Self::Folder(PathBuf::from(location)));
        };
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let wanted = |name: &str| {
            variable(name).ok_or_else(|| Failure::Bucket {
                name: location.to_owned(),
                problem: format!("the environment variable {name} is not set"),
            })
        };
        let region = variable("AWS_REGION")
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| s3::REGION_DEFAULT.to_owned());
        let endpoint = variable("AWS_ENDPOINT_URL_S3")
            .or_else(|| variable("AWS_ENDPOINT_URL"))
            .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let name = name.trim_end_matches('/');
        let bucket = Bucket {
            address: format!("{}/{name}", endpoint.trim_end_matches('/')),
            region,
            access_key_id: wanted("AWS_ACCESS_KEY_ID")?,
            secret_access_key: Secret::new(wanted("AWS_SECRET_ACCESS_KEY")?),
            session_token: variable("AWS_SESSION_TOKEN").map(Secret::new),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .build();
        Ok(Self::S3(Box::new(bucket), config.into()))
    }

    /// The names of all objects under this one; of all there are, if it is empty.
    pub(crate) fn names(&self, under: &str) -> Result<Vec<String>, Failure> {
        let mut names = self.begin_with(under)?;
        // `region=eu` is not `region=eu-west`.
        let is_whole = |rest: &str| rest.is_empty() || rest.starts_with('/');
        if !under.is_empty() && !under.ends_with('/') {
            names.retain(|name| name.strip_prefix(under).is_some_and(is_whole));
        }
        Ok(names)
    }

    fn begin_with(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        match self {
            Self::Folder(root) => {
                let mut names = Vec::new();
                walk(root, root, &mut names)?;
                names.retain(|name| name.starts_with(prefix));
                Ok(names)
            }
            Self::S3(bucket, agent) => {
                let mut names = Vec::new();
                let mut token: Option<String> = None;
                loop {
                    let call = bucket.list(prefix, token.as_deref(), now());
                    let bytes = send(agent, call, &bucket.address)?;
                    let (page, next) = s3::listed(&String::from_utf8_lossy(&bytes));
                    names.extend(page);
                    if next.is_none() || next == token {
                        return Ok(names);
                    }
                    token = next;
                }
            }
        }
    }

    /// An object's text, unpacked.
    pub(crate) fn read(&self, name: &str) -> Result<String, Failure> {
        let damaged = |error: std::io::Error| Failure::File {
            path: PathBuf::from(name),
            error,
        };
        let mut text = String::new();
        match self {
            Self::Folder(root) => {
                let path = root.join(name);
                let file = fs::File::open(&path).map_err(|error| Failure::File { path, error })?;
                unpack(file, &mut text).map_err(damaged)?;
            }
            Self::S3(bucket, agent) => {
                let bytes = send(agent, bucket.get(name, now()), name)?;
                unpack(bytes.as_slice(), &mut text).map_err(damaged)?;
            }
        }
        Ok(text)
    }
}

fn unpack(from: impl Read, text: &mut String) -> std::io::Result<()> {
    MultiGzDecoder::new(from)
        .take(BATCH_BYTES_MAX)
        .read_to_string(text)
        .map(drop)
}

fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

fn send(agent: &Agent, call: Result<Call, s3::CallError>, name: &str) -> Result<Vec<u8>, Failure> {
    let failed = |problem: String| Failure::Bucket {
        name: name.to_owned(),
        problem,
    };
    let call = call.map_err(|error| failed(error.to_string()))?;
    let mut request = agent.get(&call.url);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let mut answer = request.call().map_err(|error| failed(error.to_string()))?;
    let status = answer.status();
    let reader = answer.body_mut().with_config().limit(BATCH_BYTES_MAX);
    let bytes = reader
        .read_to_vec()
        .map_err(|error| failed(error.to_string()))?;
    if status.is_success() {
        return Ok(bytes);
    }
    let detail: String = String::from_utf8_lossy(&bytes).chars().take(300).collect();
    Err(failed(format!("{status} {detail}")))
}

/// All files below a folder, named from `root` on with slashes.
fn walk(root: &Path, folder: &Path, names: &mut Vec<String>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::File {
        path: folder.to_owned(),
        error,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(root, &path, names)?;
            continue;
        }
        let parts = path.strip_prefix(root).unwrap_or(&path).components();
        let parts: Vec<String> = parts
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        names.push(parts.join("/"));
    }
    Ok(())
}
