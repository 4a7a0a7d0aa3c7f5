//! Ships a batch of records to the store of its region: compressed, under its own name, once.
//!
//! The store is a bucket that speaks S3 where the environment names one, with Object Lock where a retention is set;
//! otherwise the bucket that is bound. What the names end in tells the region (`RECORDS_EU`, `SLUICE_RECORDS_URL_EU`);
//! which endings a region may have is not decided here. The same variables open the bucket on Spin.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Promise, Reflect, Uint8Array};
use sluice_machines::chain::ChainKind;
use sluice_machines::outbox::{self, Batch};
use sluice_machines::rows::Rows;
use sluice_units::{Region, Secret};
use sluice_wire::s3::{Bucket, Call, CallError, REGION_DEFAULT, Retention};
use thiserror::Error;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::clock;
use crate::log;
use crate::storage::message;
use crate::store::{Failure, Store as RowStore, Table};

/// The bucket that is bound.
const BINDING: &str = "RECORDS";
/// How many batches one alarm ships; the next alarm goes on.
const BATCHES_PER_ALARM_MAX: usize = 16;
const PRECONDITION_FAILED: u16 = 412;

#[wasm_bindgen(raw_module = "./storage.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn create(bucket: &JsValue, name: &str, text: &str, hash: &str) -> Result<Promise, JsValue>;

    fn pack(text: &str) -> Promise;

    fn send(method: &str, url: &str, headers: &str, body: &JsValue) -> Promise;

    fn reach(method: &str, url: &str, headers: &str) -> Promise;

    #[wasm_bindgen(catch)]
    fn probe(bucket: &JsValue) -> Result<Promise, JsValue>;
}

/// Why a batch is not known to be in the store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShipError {
    /// There is no store.
    #[error(
        "there is no store of the region's records: bind a bucket as RECORDS, or as the configuration names it, or set SLUICE_RECORDS_URL"
    )]
    None,
    /// What the environment says of the store cannot be used.
    #[error("{name}: {detail}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Why.
        detail: String,
    },
    /// The request cannot be made.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The store did not confirm it.
    #[error("the store did not confirm {name}: {detail}")]
    Unconfirmed {
        /// The batch.
        name: String,
        /// Why.
        detail: String,
    },
    /// Something else is under the batch's name.
    #[error("{name} in the store is not what was to be written there")]
    Taken {
        /// The batch.
        name: String,
    },
}

/// Where the records of a region go.
enum Store {
    Bound(JsValue),
    S3(Box<Bucket>, Option<Retention>),
}

/// What the names of a region's store may end in, in the order in which they are looked for.
pub type Suffixes = Rc<dyn Fn(Option<&Region>) -> Vec<String>>;

thread_local! {
    static SUFFIXES: RefCell<Option<Suffixes>> = const { RefCell::new(None) };
}

/// Says where the records of each region may go.
pub fn set_records_suffixes(suffixes: Suffixes) {
    SUFFIXES.set(Some(suffixes));
}

/// Looks a name up in the environment, with each of the endings that the region's store may have.
fn found(env: &JsValue, name: &str, region: Option<&Region>) -> JsValue {
    let suffixes = SUFFIXES.with_borrow(|suffixes| suffixes.as_ref().map(|of| of(region)));
    suffixes
        .unwrap_or_default()
        .into_iter()
        .filter_map(|suffix| Reflect::get(env, &format!("{name}{suffix}").into()).ok())
        .find(|value| !value.is_undefined())
        .unwrap_or_default()
}

impl Store {
    fn of(env: &JsValue, region: Option<&Region>) -> Result<Self, ShipError> {
        let text = |name: &str| {
            let value = found(env, name, region).as_string();
            value.filter(|value| !value.is_empty())
        };
        let Some(address) = text("SLUICE_RECORDS_URL") else {
            let bound = found(env, BINDING, region);
            return if bound.is_undefined() {
                Err(ShipError::None)
            } else {
                Ok(Self::Bound(bound))
            };
        };
        let wanted = |name: &'static str| {
            text(name).ok_or_else(|| ShipError::Variable {
                name,
                detail: "SLUICE_RECORDS_URL needs it".to_owned(),
            })
        };
        let retention = text("SLUICE_RECORDS_RETENTION")
            .map(|text| Retention::parse(&text))
            .transpose()
            .map_err(|detail| ShipError::Variable {
                name: "SLUICE_RECORDS_RETENTION",
                detail,
            })?;
        let bucket = Bucket {
            address: address.trim_end_matches('/').to_owned(),
            region: text("SLUICE_RECORDS_REGION").unwrap_or_else(|| REGION_DEFAULT.to_owned()),
            access_key_id: wanted("SLUICE_RECORDS_ACCESS_KEY_ID")?,
            secret_access_key: Secret::new(wanted("SLUICE_RECORDS_SECRET_ACCESS_KEY")?),
            session_token: None,
        };
        Ok(Self::S3(Box::new(bucket), retention))
    }
}

/// Ships batch after batch of an outbox, until nothing is due or the store fails; `moved` is told of each that is there.
pub(crate) async fn ship_all<T: Table>(
    rows: &RowStore<T>,
    env: &JsValue,
    kind: ChainKind,
    moved: impl Fn(),
) -> Result<(), Failure> {
    let load = || {
        let mut all = Rows::new();
        all.extend(rows.read(&outbox::reads())?);
        Ok::<_, Failure>(all)
    };
    for _ in 0..BATCHES_PER_ALARM_MAX {
        let Some((batch, writes)) = outbox::next_batch(&load()?, clock::now(), kind)? else {
            return Ok(());
        };
        rows.commit(&writes)?;
        let outcome = ship(env, &batch).await;
        let found = load()?;
        match outcome {
            Ok(()) => {
                rows.commit(&outbox::shipped(&found, &batch)?)?;
                moved();
            }
            Err(error) => {
                log(&format!("records: {error}"));
                return rows.commit(&outbox::failed(&found, clock::now(), &batch)?);
            }
        }
    }
    Ok(())
}

/// Stores the batch. That the same records are there already is as good.
async fn ship(env: &JsValue, batch: &Batch) -> Result<(), ShipError> {
    let unconfirmed = |error: JsValue| ShipError::Unconfirmed {
        name: batch.name.clone(),
        detail: message(&error),
    };
    // The hash is that of the text, not of the compressed bytes: those may differ from one version of zlib to the next.
    let hash = match Store::of(env, batch.chain.region.as_ref())? {
        Store::Bound(bucket) => {
            let stored = create(&bucket, &batch.name, &batch.ndjson, &batch.hash);
            let found = JsFuture::from(stored.map_err(unconfirmed)?).await;
            found.map_err(unconfirmed)?.as_string()
        }
        Store::S3(bucket, retention) => {
            let packed = JsFuture::from(pack(&batch.ndjson))
                .await
                .map_err(unconfirmed)?;
            let body: Uint8Array = packed.unchecked_into();
            let (name, bytes) = (&batch.name, body.to_vec());
            let call = bucket.create(name, &bytes, &batch.hash, retention, clock::now())?;
            match asked(call, &body, name).await? {
                (PRECONDITION_FAILED, _) => {
                    let call = bucket.head(name, clock::now())?;
                    asked(call, &JsValue::UNDEFINED, name).await?.1
                }
                _ => Some(batch.hash.clone()),
            }
        }
    };
    if hash.as_deref() == Some(batch.hash.as_str()) {
        return Ok(());
    }
    Err(ShipError::Taken {
        name: batch.name.clone(),
    })
}

/// Asks the store of the plain names for anything at all: a promise that is rejected when it does not answer.
///
/// # Errors
/// [`ShipError`] when there is none, or it cannot be asked.
pub fn probe_records(env: &JsValue) -> Result<Promise, ShipError> {
    let unconfirmed = |error: JsValue| ShipError::Unconfirmed {
        name: "its head".to_owned(),
        detail: message(&error),
    };
    match Store::of(env, None)? {
        Store::Bound(bucket) => probe(&bucket).map_err(unconfirmed),
        Store::S3(bucket, _) => {
            let call = bucket.head("", clock::now())?;
            Ok(reach(call.method.as_str(), &call.url, &lines(&call)))
        }
    }
}

/// A request's headers, a name or a value to a line.
fn lines(call: &Call) -> String {
    let cells: Vec<&str> = call
        .headers
        .iter()
        .flat_map(|(name, value)| [name.as_str(), value.to_str().unwrap_or_default()])
        .collect();
    cells.join("\n")
}

/// Sends a request: a good status or 412, and the hash that the object carries.
async fn asked(call: Call, body: &JsValue, name: &str) -> Result<(u16, Option<String>), ShipError> {
    let unconfirmed = |detail: String| ShipError::Unconfirmed {
        name: name.to_owned(),
        detail,
    };
    let sent = send(call.method.as_str(), &call.url, &lines(&call), body);
    let answer = JsFuture::from(sent).await;
    let answer: Array = answer
        .map_err(|error| unconfirmed(message(&error)))?
        .unchecked_into();
    let status = answer.get(0).as_f64().unwrap_or_default() as u16;
    if (200..300).contains(&status) || status == PRECONDITION_FAILED {
        return Ok((status, answer.get(1).as_string()));
    }
    let detail = answer.get(2).as_string().unwrap_or_default();
    Err(unconfirmed(format!("{status} {detail}")))
}
