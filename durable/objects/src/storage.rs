//! A table of rows in a Durable Object's SQL storage.

use js_sys::{Array, JsString};
use sluice_machines::rows::{RowKey, WriteSet};
use sluice_units::Timestamp;
use wasm_bindgen::prelude::*;

use crate::clock;
use crate::sql::{self, Statement};
use crate::store::{Failure, ROW_BYTES_OVERHEAD, Table};

#[wasm_bindgen(raw_module = "./storage.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn select(
        storage: &JsValue,
        statement: &str,
        parameters: Vec<JsString>,
        bytes_max: f64,
    ) -> Result<Array, JsValue>;

    #[wasm_bindgen(catch)]
    fn write(
        storage: &JsValue,
        statements: Vec<JsString>,
        counts: Vec<u32>,
        parameters: Vec<JsString>,
    ) -> Result<(), JsValue>;

    #[wasm_bindgen(catch)]
    fn wake(storage: &JsValue, at: f64) -> Result<js_sys::Promise, JsValue>;
}

/// An object's storage: `ctx.storage`.
#[derive(Debug, Clone)]
pub(crate) struct Storage(JsValue);

impl Storage {
    /// Makes the table if it is not there.
    pub(crate) fn open(storage: JsValue) -> Result<Self, Failure> {
        let this = Self(storage);
        let statement = Statement {
            text: sql::CREATE.to_owned(),
            parameters: Vec::new(),
        };
        this.select(&statement, usize::MAX)?;
        Ok(this)
    }

    /// Wakes the object at this moment, instead of any other. Committed with the writes of the same turn.
    pub(crate) fn wake(&self, at: Timestamp) -> Result<(), Failure> {
        // Not awaited: whatever leaves the object waits until it is committed.
        wake(&self.0, clock::to_millis(at))
            .map(drop)
            .map_err(|error| refused(&error))
    }

    fn select(&self, statement: &Statement<'_>, bytes_max: usize) -> Result<Vec<String>, Failure> {
        let parameters = strings(&statement.parameters);
        let cells = select(&self.0, &statement.text, parameters, bytes_max as f64)
            .map_err(|error| refused(&error))?;
        Ok(cells
            .iter()
            .map(|cell| cell.as_string().unwrap_or_default())
            .collect())
    }

    fn pairs(
        &self,
        statement: &Statement<'_>,
        bytes_max: usize,
    ) -> Result<Vec<(RowKey, String)>, Failure> {
        let mut cells = self.select(statement, bytes_max)?.into_iter();
        let mut rows = Vec::with_capacity(cells.len() / 2);
        while let (Some(key), Some(value)) = (cells.next(), cells.next()) {
            rows.push((key, value));
        }
        Ok(rows)
    }
}

impl Table for Storage {
    fn rows(&self, keys: &[&str]) -> Result<Vec<(RowKey, String)>, Failure> {
        let mut rows = Vec::with_capacity(keys.len());
        for statement in sql::select(keys) {
            rows.extend(self.pairs(&statement, usize::MAX)?);
        }
        Ok(rows)
    }

    fn range(
        &self,
        after: &str,
        before: &str,
        limit: u32,
        bytes_max: usize,
    ) -> Result<Vec<(RowKey, String)>, Failure> {
        self.pairs(&sql::range(after, before, limit), bytes_max)
    }

    fn all(&self, bytes_max: usize) -> Result<Option<Vec<(RowKey, String)>>, Failure> {
        let statement = |text: &str| Statement {
            text: text.to_owned(),
            parameters: Vec::new(),
        };
        let size: Vec<usize> = self
            .select(&statement(sql::SELECT_SIZE), usize::MAX)?
            .iter()
            .map(|cell| cell.parse().unwrap_or(usize::MAX))
            .collect();
        let [count, bytes] = size[..] else {
            return Ok(None);
        };
        if count
            .saturating_mul(ROW_BYTES_OVERHEAD)
            .saturating_add(bytes)
            > bytes_max
        {
            return Ok(None);
        }
        self.pairs(&statement(sql::SELECT_ALL), usize::MAX)
            .map(Some)
    }

    fn write(&self, writes: &WriteSet) -> Result<(), Failure> {
        let statements = sql::write(writes);
        let texts = statements
            .iter()
            .map(|s| JsString::from(s.text.as_str()))
            .collect();
        let counts = statements
            .iter()
            .map(|s| u32::try_from(s.parameters.len()).unwrap_or(u32::MAX))
            .collect();
        let parameters = statements
            .iter()
            .flat_map(|s| strings(&s.parameters))
            .collect();
        write(&self.0, texts, counts, parameters).map_err(|error| refused(&error))
    }
}

fn strings(texts: &[&str]) -> Vec<JsString> {
    texts.iter().map(|text| JsString::from(*text)).collect()
}

fn refused(error: &JsValue) -> Failure {
    Failure::Sql(message(error))
}

/// What a thrown value says.
pub(crate) fn message(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => error
            .as_string()
            .unwrap_or_else(|| "an unknown error".to_owned()),
    }
}
