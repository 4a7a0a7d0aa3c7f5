//! Bodies on record, for whoever has the key: opened on the way along the chains; and keys that seal and open them.
//!
//! What opens is the core's business ([`sluice_core::bodies`]); here is the cipher, and what is said of what does not
//! open.

use std::path::PathBuf;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::rand_core::RngCore;
use aes_gcm::aead::{Aead, KeyInit, OsRng, Payload};
use clap::Args;
use serde_json::Value;
use sluice_core::bodies::{BODY_KEY, BodyKey, Opening};
use sluice_machines::record::Bodies;
use sluice_units::{OrgId, RequestId};

use crate::{Failure, read_file};

/// How many bodies that do not open are named.
const FAULTS_MAX: usize = 20;

/// What opens bodies.
#[derive(Debug, Args)]
pub(crate) struct BodyKeyArguments {
    /// A file with the keys that open bodies, one on each line, those of before too
    #[arg(long, value_name = "FILE")]
    body_keys: Option<PathBuf>,
    /// The environment variable that holds such keys, with spaces between them
    #[arg(long, value_name = "NAME")]
    body_keys_env: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyArguments {
    /// What the key is called; by default after today
    #[arg(long)]
    id: Option<String>,
    /// Not a new key, but those of --body-keys narrowed down to one organisation, for its auditors
    #[arg(long)]
    org: Option<String>,
    #[command(flatten)]
    keys: BodyKeyArguments,
}

/// Opens bodies, and remembers what did not open.
#[derive(Debug)]
pub(crate) struct Opener {
    keys: Vec<BodyKey>,
    /// How many were opened.
    pub(crate) opened: u64,
    /// How many are sealed under keys that are not here.
    pub(crate) closed: u64,
    /// What was changed.
    pub(crate) faults: Vec<String>,
}

impl Opener {
    /// With the keys that are named; none may be.
    pub(crate) fn new(arguments: &BodyKeyArguments) -> Result<Self, Failure> {
        let mut texts = Vec::new();
        if let Some(file) = &arguments.body_keys {
            texts.push((file.display().to_string(), read_file(file)?));
        }
        if let Some(name) = &arguments.body_keys_env {
            texts.push((name.clone(), std::env::var(name).unwrap_or_default()));
        }
        let mut keys = Vec::new();
        for (place, text) in texts {
            let read: Option<Vec<BodyKey>> = text.split_whitespace().map(BodyKey::parse).collect();
            // Never repeated here: it may be a key.
            let read = read.filter(|keys| !keys.is_empty());
            keys.extend(read.ok_or(Failure::BodyKeys(place))?);
        }
        Ok(Self {
            keys,
            opened: 0,
            closed: 0,
            faults: Vec::new(),
        })
    }

    /// Whether any key was named.
    pub(crate) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Puts what was asked and answered into a record in the place of what is sealed, where a key opens it.
    pub(crate) fn open(&mut self, record: &mut Value) {
        if !self.has_keys() {
            return;
        }
        let Some(sealed) = Sealed::of(record) else {
            return;
        };
        let mut fits = false;
        let opened = self.keys.iter().find_map(|key| {
            let opening = sealed.opening(key)?;
            fits = true;
            deciphered(&opening)
        });
        match opened {
            Some(said) => {
                self.opened += 1;
                let bodies = record.get_mut("bodies").and_then(Value::as_object_mut);
                if let Some(bodies) = bodies {
                    bodies.remove("sealed");
                    for side in ["request", "answer"] {
                        bodies.insert(side.to_owned(), said.get(side).cloned().unwrap_or_default());
                    }
                }
            }
            None if fits => {
                if self.faults.len() < FAULTS_MAX {
                    let (request, key) = (&sealed.request, &sealed.bodies.key);
                    self.faults.push(format!(
                        "{request}: its bodies do not open: they were changed, or sealed by another key named {key}"
                    ));
                }
            }
            None => self.closed += 1,
        }
    }

    /// What is to be said at the end.
    pub(crate) fn told(&self) -> String {
        if !self.has_keys() {
            return String::new();
        }
        let mut text = format!("{} bodies were opened\n", self.opened);
        if self.closed > 0 {
            text.push_str(&format!(
                "{} bodies are sealed under keys that were not given\n",
                self.closed
            ));
        }
        text
    }
}

/// What of a record it takes to open its bodies.
struct Sealed {
    org: OrgId,
    request: RequestId,
    bodies: Bodies,
}

impl Sealed {
    fn of(record: &Value) -> Option<Self> {
        let text = |name: &str| record.get(name)?.as_str();
        let bodies: Bodies = serde_json::from_value(record.get("bodies")?.clone()).ok()?;
        bodies.sealed.as_ref()?;
        Some(Self {
            org: OrgId::new(text("org")?).ok()?,
            request: RequestId::new(text("request")?).ok()?,
            bodies,
        })
    }

    /// How this key opens them; `None` where it is another's.
    fn opening(&self, key: &BodyKey) -> Option<Opening> {
        let is_named = key.id == self.bodies.key;
        let opening = || key.opening(&self.org, &self.request, &self.bodies);
        is_named.then(opening)?
    }
}

fn deciphered(opening: &Opening) -> Option<Value> {
    let payload = Payload {
        msg: &opening.sealed,
        aad: &opening.associated,
    };
    let cipher = Aes256Gcm::new(&opening.key.into());
    let text = cipher.decrypt(&opening.nonce.into(), payload).ok()?;
    serde_json::from_slice(&text).ok()
}

/// `sluice audit key`.
pub(crate) fn key(arguments: KeyArguments) -> Result<String, Failure> {
    if let Some(org) = &arguments.org {
        let unusable = || Failure::BodyKeys(format!("--org {org}"));
        let id = OrgId::new(org).map_err(|_| unusable())?;
        let keys = Opener::new(&arguments.keys)?.keys;
        let narrowed: Vec<String> = keys
            .iter()
            .filter_map(|key| Some(key.of_org(&id)?.text() + "\n"))
            .collect();
        return if narrowed.is_empty() {
            Err(unusable())
        } else {
            Ok(narrowed.concat())
        };
    }
    let id = arguments
        .id
        .unwrap_or_else(|| format!("bodies-{}", jiff::Zoned::now().date()));
    let mut secret = [0; 32];
    OsRng.fill_bytes(&mut secret);
    let key = BodyKey::new(&id, secret).ok_or_else(|| Failure::BodyKeys(format!("--id {id}")))?;
    Ok(format!(
        "{}\n\nSet it as the secret {BODY_KEY}, or as the one that the organisation names; it is shown this once.\n\
         Keep it where the auditors are: without it nobody reads what is sealed, and with it everybody.\n",
        key.text()
    ))
}
