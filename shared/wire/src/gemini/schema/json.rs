//! Cuts a JSON schema down to the keywords that `parametersJsonSchema` and `responseJsonSchema` read.
//!
//! Follows the list at <https://ai.google.dev/api/generate-content#FIELDS.response_json_schema>
//! and, beyond it, what recorded exchanges show to be accepted: `pattern`, lengths of texts, `uniqueItems`.
//! Nothing may stand beside a `$ref` there. A recursion may only go through optional properties, and is refused
//! otherwise: [`recurs_always`] finds those schemas, which are not written in this form at all.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::Drops;

use super::super::value::put;
use super::{Fields, SILENT};

/// The longest chain of references that is followed; a longer one counts as a recursion.
const OPEN_MAX: usize = 24;

const FORMATS: [&str; 7] = [
    "date-time",
    "date",
    "time",
    "float",
    "double",
    "int32",
    "int64",
];

/// Cuts `schema`, which stands at `path` and is the root of its references.
pub(super) fn cut(schema: &Value, path: &str, drops: &mut Drops) -> Value {
    Cutter {
        root: schema,
        drops,
    }
    .node(schema, path)
}

struct Cutter<'a> {
    root: &'a Value,
    drops: &'a mut Drops,
}

impl Cutter<'_> {
    fn node(&mut self, schema: &Value, path: &str) -> Value {
        let mut kept = Map::new();
        let Value::Object(fields) = schema else {
            if schema != &Value::Bool(true) {
                self.drops.push(path.to_owned(), "not a schema");
            }
            return Value::Object(kept);
        };
        if let Some(reference) = fields.get("$ref") {
            match self.reference(reference) {
                Some(reference) => put(&mut kept, "$ref", reference),
                None => self
                    .drops
                    .push(format!("{path}.$ref"), "it points at no definition"),
            }
        }
        let refers = kept.contains_key("$ref");
        let mut definitions = Map::new();
        for (keyword, value) in fields {
            let at = format!("{path}.{keyword}");
            match keyword.as_str() {
                "$ref" => {}
                "$defs" | "definitions" => definitions.extend(self.each(value, &at)),
                _ if refers => {
                    if !SILENT.contains(&keyword.as_str()) {
                        self.drops.push(at, "it stands beside a $ref");
                    }
                }
                _ => self.keyword(keyword, value, &at, &mut kept),
            }
        }
        if !definitions.is_empty() {
            put(&mut kept, "$defs", definitions);
        }
        Value::Object(kept)
    }

    /// The reference in Gemini's words, when it points at a definition that is there.
    fn reference(&self, reference: &Value) -> Option<String> {
        let pointer = reference.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer)?;
        let name = ["/$defs/", "/definitions/"]
            .into_iter()
            .find_map(|folder| pointer.strip_prefix(folder))?;
        Some(format!("#/$defs/{name}"))
    }

    fn keyword(&mut self, keyword: &str, value: &Value, at: &str, kept: &mut Fields) {
        let is_scalar = |value: &Value| value.is_string() || value.is_number();
        let lawful = match (keyword, value) {
            ("type", Value::Array(names)) => names.iter().all(Value::is_string),
            ("type" | "title" | "description", value) => value.is_string(),
            ("format", Value::String(format)) => FORMATS.contains(&format.as_str()),
            ("minimum" | "maximum", value) => value.is_number(),
            ("minItems" | "maxItems" | "minLength" | "maxLength", value) => {
                value.as_u64().is_some()
            }
            ("pattern", value) => value.is_string(),
            ("uniqueItems", value) => value.is_boolean(),
            ("required" | "propertyOrdering", Value::Array(names)) => {
                names.iter().all(Value::is_string)
            }
            ("enum", Value::Array(values)) => values
                .iter()
                .all(|value| is_scalar(value) || value.is_null()),
            ("additionalProperties", Value::Bool(_)) => true,
            ("items" | "additionalProperties", Value::Object(_)) => {
                return put(kept, keyword, self.node(value, at));
            }
            ("properties", Value::Object(_)) => return put(kept, keyword, self.each(value, at)),
            ("anyOf" | "oneOf" | "prefixItems", Value::Array(members)) => {
                let mut cut = Vec::with_capacity(members.len());
                for (index, member) in members.iter().enumerate() {
                    cut.push(self.node(member, &format!("{at}[{index}]")));
                }
                return put(kept, keyword, cut);
            }
            ("const", value) if is_scalar(value) => return put(kept, "enum", vec![value.clone()]),
            ("default", _) => return,
            (keyword, _) if SILENT.contains(&keyword) => return,
            _ => false,
        };
        if lawful {
            put(kept, keyword, value.clone());
        } else {
            self.drops.push(at.to_owned(), "gemini does not read it");
        }
    }

    fn each(&mut self, schemas: &Value, at: &str) -> Fields {
        let empty = Map::new();
        let mut kept = Map::new();
        for (name, schema) in schemas.as_object().unwrap_or(&empty) {
            put(&mut kept, name, self.node(schema, &format!("{at}.{name}")));
        }
        kept
    }
}

/// Whether some value would have to hold itself: a cycle of references that no optional property breaks.
pub(super) fn recurs_always(root: &Value) -> bool {
    let mut walk = Walk {
        root,
        open: Vec::new(),
        done: BTreeSet::new(),
    };
    walk.meets_itself(root)
}

struct Walk<'a> {
    root: &'a Value,
    open: Vec<&'a str>,
    done: BTreeSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn meets_itself(&mut self, schema: &'a Value) -> bool {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
            && self.follow(reference)
        {
            return true;
        }
        let required = schema.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for (name, property) in properties {
                if is_required(name) && self.meets_itself(property) {
                    return true;
                }
            }
        }
        let single = ["items", "additionalProperties"].into_iter();
        let several = ["anyOf", "oneOf", "allOf", "prefixItems"].into_iter();
        single
            .filter_map(|keyword| schema.get(keyword))
            .chain(
                several
                    .filter_map(|keyword| schema.get(keyword)?.as_array())
                    .flatten(),
            )
            .any(|inner| self.meets_itself(inner))
    }

    fn follow(&mut self, reference: &'a str) -> bool {
        if self.open.contains(&reference) || self.open.len() >= OPEN_MAX {
            return true;
        }
        let target = reference
            .strip_prefix('#')
            .and_then(|at| self.root.pointer(at));
        let (Some(target), false) = (target, self.done.contains(reference)) else {
            return false;
        };
        self.open.push(reference);
        let meets = self.meets_itself(target);
        self.open.pop();
        self.done.insert(reference);
        meets
    }
}

/// Whether the schema is that of an object, as functions need.
pub(super) fn is_object(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object")
        && schema.get("properties").is_some()
}
