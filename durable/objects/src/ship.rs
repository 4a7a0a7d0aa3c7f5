//! Ships a batch of records to the bucket: compressed, under its own name, once.

use sluice_machines::outbox::Batch;
use thiserror::Error;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::storage::message;

#[wasm_bindgen(raw_module = "./storage.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn create(
        bucket: &JsValue,
        name: &str,
        text: &str,
        hash: &str,
    ) -> Result<js_sys::Promise, JsValue>;
}

/// Why a batch is not known to be in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ShipError {
    /// The bucket did not confirm it.
    #[error("the bucket did not confirm {name}: {detail}")]
    Unconfirmed { name: String, detail: String },
    /// Something else is under the batch's name.
    #[error("{name} in the bucket is not what was to be written there")]
    Taken { name: String },
}

/// Stores the batch. That the same records are there already is as good.
pub(crate) async fn ship(bucket: &JsValue, batch: &Batch) -> Result<(), ShipError> {
    let unconfirmed = |error: JsValue| ShipError::Unconfirmed {
        name: batch.name.clone(),
        detail: message(&error),
    };
    // The hash is that of the text, not of the compressed bytes: those may differ from one version of zlib to the next.
    let stored = create(bucket, &batch.name, &batch.ndjson, &batch.hash).map_err(unconfirmed)?;
    let found = JsFuture::from(stored).await.map_err(unconfirmed)?;
    if found.as_string().as_deref() == Some(batch.hash.as_str()) {
        return Ok(());
    }
    Err(ShipError::Taken {
        name: batch.name.clone(),
    })
}
