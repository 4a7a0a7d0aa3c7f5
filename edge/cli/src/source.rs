//! A TOML text that remembers where each of its values stands.
//!
//! Turns it into a JSON value for reading, and a path into a line and a column for messages.
//! Follows TOML 1.0. A date becomes its text; there are no other losses.

use std::ops::Range;

use serde_json::{Map, Value as Json};
use sluice_core::config::{Path, Step};
use toml_edit::{Array, ArrayOfTables, Document, Item, TableLike, TomlError, Value};

/// A place in the text, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A parsed TOML text.
#[derive(Debug)]
pub struct Source {
    document: Document<String>,
}

/// A text that is no TOML.
#[derive(Debug)]
pub struct SyntaxError {
    /// Where the parser stopped.
    pub place: Place,
    /// Why. Holds nothing of the text's values.
    pub problem: String,
}

/// A part of the document, whatever its notation.
#[derive(Clone, Copy)]
enum Node<'a> {
    Table(&'a dyn TableLike),
    Array(&'a Array),
    Tables(&'a ArrayOfTables),
    Scalar(&'a Value),
}

impl Source {
    /// Parses a text.
    ///
    /// # Errors
    /// [`SyntaxError`] where it is no TOML.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let document = Document::parse(text.to_owned()).map_err(|error| syntax(text, &error))?;
        Ok(Self { document })
    }

    /// The whole document as JSON.
    #[must_use]
    pub fn json(&self) -> Json {
        Node::Table(self.document.as_table()).json()
    }

    /// Where a path leads, or else the nearest thing above it that stands in the text.
    #[must_use]
    pub fn place(&self, path: &Path) -> Place {
        let mut node = Node::Table(self.document.as_table());
        let mut span: Option<Range<usize>> = None;
        for step in path.steps() {
            let Some((found, next)) = node.step(step) else {
                break;
            };
            span = found.or(span);
            let Some(next) = next else {
                break;
            };
            node = next;
        }
        place(self.document.raw(), span.map_or(0, |span| span.start))
    }
}

impl<'a> Node<'a> {
    fn of_item(item: &'a Item) -> Option<Self> {
        match item {
            Item::None => None,
            Item::Table(table) => Some(Self::Table(table)),
            Item::ArrayOfTables(tables) => Some(Self::Tables(tables)),
            Item::Value(value) => Some(Self::of_value(value)),
        }
    }

    fn of_value(value: &'a Value) -> Self {
        match value {
            Value::InlineTable(table) => Self::Table(table),
            Value::Array(array) => Self::Array(array),
            scalar => Self::Scalar(scalar),
        }
    }

    /// One step down: where that stands, and what it is.
    fn step(self, step: &Step) -> Option<(Option<Range<usize>>, Option<Self>)> {
        match (self, step) {
            (Self::Table(table), Step::Name(name)) => {
                let (key, item) = table.get_key_value(name)?;
                let node = Self::of_item(item);
                let span = match node {
                    Some(Self::Scalar(value)) => value.span().or_else(|| key.span()),
                    _ => key.span().or_else(|| item.span()),
                };
                Some((span, node))
            }
            (Self::Array(array), Step::Index(index)) => {
                let value = array.get(*index)?;
                Some((value.span(), Some(Self::of_value(value))))
            }
            (Self::Tables(tables), Step::Index(index)) => {
                let table = tables.get(*index)?;
                Some((table.span(), Some(Self::Table(table))))
            }
            _ => None,
        }
    }

    fn json(self) -> Json {
        match self {
            Self::Table(table) => {
                let entries = table.iter().filter_map(|(name, item)| {
                    Some((name.to_owned(), Self::of_item(item)?.json()))
                });
                Json::Object(entries.collect::<Map<String, Json>>())
            }
            Self::Array(array) => Json::Array(
                array
                    .iter()
                    .map(|value| Self::of_value(value).json())
                    .collect(),
            ),
            Self::Tables(tables) => Json::Array(
                tables
                    .iter()
                    .map(|table| Self::Table(table).json())
                    .collect(),
            ),
            Self::Scalar(value) => scalar(value),
        }
    }
}

fn scalar(value: &Value) -> Json {
    match value {
        Value::String(text) => Json::from(text.value().as_str()),
        Value::Integer(number) => Json::from(*number.value()),
        Value::Float(number) => Json::from(*number.value()),
        Value::Boolean(truth) => Json::from(*truth.value()),
        Value::Datetime(date) => Json::from(date.value().to_string()),
        Value::Array(_) | Value::InlineTable(_) => Json::Null,
    }
}

fn syntax(text: &str, error: &TomlError) -> SyntaxError {
    SyntaxError {
        place: place(text, error.span().map_or(0, |span| span.start)),
        problem: error.message().replace('\n', ", "),
    }
}

fn place(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
    }
}
