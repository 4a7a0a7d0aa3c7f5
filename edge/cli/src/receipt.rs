//! `sluice receipt`: keys that sign receipts, and receipts checked by whoever holds them.
//!
//! What a receipt is made of is the core's business ([`sluice_core::receipt`]). Checking asks nobody: it takes the
//! receipts and the gateway's published keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use serde::Deserialize;
use sluice_core::receipt::{HEADER, KEY_SECRET, KEYS_PATH, Receipt, parts};
use sluice_units::base64url;

use crate::{Failure, read_file};

#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Check receipts against the gateway's published keys
    Verify(VerifyArguments),
    /// Make a key that signs receipts
    Key {
        /// What the key is called; by default after today
        #[arg(long)]
        id: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// A receipt, or a file with one on each line; whole answers with headers or streams will do
    receipts: String,
    /// What the gateway says at /.well-known/sluice-receipts.json, in a file
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
}

pub(crate) fn run(command: ReceiptCommand) -> Result<String, Failure> {
    match command {
        ReceiptCommand::Verify(arguments) => verify(&arguments),
        ReceiptCommand::Key { id } => Ok(key(id)),
    }
}

fn verify(arguments: &VerifyArguments) -> Result<String, Failure> {
    let keys = Keys::read(&arguments.keys)?;
    let text = match arguments.receipts.matches('.').count() {
        2 if !PathBuf::from(&arguments.receipts).exists() => arguments.receipts.clone(),
        _ => read_file(&PathBuf::from(&arguments.receipts))?,
    };
    let mut printed = String::new();
    for proven in keys.proven(&text)? {
        printed.push_str(&proven.described());
    }
    Ok(printed)
}

/// The published keys by their names.
#[derive(Debug)]
pub(crate) struct Keys(BTreeMap<String, PublicKey>);

/// A receipt whose signature is good.
#[derive(Debug)]
pub(crate) struct Proven {
    /// Who signed.
    key_id: String,
    /// What it says.
    pub(crate) receipt: Receipt,
}

impl Keys {
    /// Reads a JWK set.
    pub(crate) fn read(path: &std::path::Path) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Key>,
        }
        #[derive(Deserialize)]
        struct Key {
            kid: String,
            x: String,
        }
        let text = read_file(path)?;
        let wrong = |problem: String| Failure::Receipt {
            receipt: path.display().to_string(),
            problem,
        };
        let set: Set = serde_json::from_slice(text.as_bytes())
            .map_err(|error| wrong(format!("it is not what {KEYS_PATH} says: {error}")))?;
        let mut keys = BTreeMap::new();
        for Key { kid, x } in set.keys {
            let public = base64url::decode(&x)
                .and_then(|bytes| PublicKey::from_slice(&bytes).ok())
                .ok_or_else(|| wrong(format!("the key {kid} is no Ed25519 key")))?;
            keys.insert(kid, public);
        }
        Ok(Self(keys))
    }

    /// The receipts in a text, each on a line of its own or after its header's name.
    pub(crate) fn proven(&self, text: &str) -> Result<Vec<Proven>, Failure> {
        let tokens: Vec<&str> = text.lines().filter_map(token).collect();
        if tokens.is_empty() {
            return Err(Failure::Receipt {
                receipt: "the text".to_owned(),
                problem: "there is no receipt in it".to_owned(),
            });
        }
        tokens.into_iter().map(|token| self.prove(token)).collect()
    }

    fn prove(&self, token: &str) -> Result<Proven, Failure> {
        let short: String = token.chars().take(40).collect();
        let wrong = |receipt: &str, problem: String| Failure::Receipt {
            receipt: receipt.to_owned(),
            problem,
        };
        let parts = parts(token)
            .ok_or_else(|| wrong(&short, "it is no receipt, or it is cut".to_owned()))?;
        let request = parts.receipt.request.as_str();
        let key = self.0.get(&parts.key_id).ok_or_else(|| {
            let problem = format!("its key {} is none of the published ones", parts.key_id);
            wrong(request, problem)
        })?;
        let signature = Signature::from_slice(&parts.signature)
            .and_then(|signature| key.verify(&parts.message, &signature));
        match signature {
            Ok(()) => Ok(Proven {
                key_id: parts.key_id,
                receipt: parts.receipt,
            }),
            Err(_) => Err(wrong(
                request,
                format!("it was changed, or {} never signed it", parts.key_id),
            )),
        }
    }
}

/// The receipt on a line, if there is one.
fn token(line: &str) -> Option<&str> {
    let line = line.trim();
    let after = line
        .split_once(HEADER)
        .map_or(line, |(_, after)| after.trim_start_matches([':', '=', ' ']));
    let is_token = after.matches('.').count() == 2 && after.starts_with("eyJ");
    is_token.then_some(after)
}

impl Proven {
    fn described(&self) -> String {
        let receipt = &self.receipt;
        let target = match (&receipt.provider, &receipt.provider_model) {
            (Some(provider), Some(model)) => format!("{provider}/{model}"),
            _ => "nobody".to_owned(),
        };
        let audit = match &receipt.audit.head {
            Some(head) => format!(
                "{} after batch {} ({})",
                receipt.audit.chain, head.batch, head.hash
            ),
            None => receipt.audit.chain.clone(),
        };
        format!(
            "{}: good, signed by {}\n  {} by {} of {}, in {}\n  {} for {}: {} tokens, {} USD, status {}\n  \
             configuration {}, policy {}, code {}\n  audit: {audit}\n",
            receipt.request,
            self.key_id,
            receipt.at_us,
            receipt.key,
            receipt.org,
            receipt.region,
            target,
            receipt.model,
            receipt.usage.total(),
            receipt.cost_nano_usd,
            receipt.status,
            receipt.config,
            receipt.policy,
            receipt.wasm.as_deref().unwrap_or("not known"),
        )
    }
}

fn key(id: Option<String>) -> String {
    let id = id.unwrap_or_else(|| format!("receipts-{}", jiff::Zoned::now().date()));
    let seed = Seed::generate();
    let public = base64url::encode(&*KeyPair::from_seed(seed).pk);
    format!(
        "{id}:{}:{public}\n\nSet it as the secret {KEY_SECRET}; it is shown this once.\n\
         When it is replaced, publish its public half for as long as its receipts are to be checked:\n\
         SLUICE_RECEIPT_KEYS_RETIRED=\"{id}:{public}\"\n",
        base64url::encode(&*seed)
    )
}
