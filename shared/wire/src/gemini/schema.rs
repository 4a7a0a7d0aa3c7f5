//! Lowers a JSON schema to the subset that Gemini calls `Schema`.
//!
//! Total: any JSON value goes in, a `Schema` that Gemini accepts comes out, and each keyword that was lost is named.
//! Follows <https://ai.google.dev/api/caching#Schema>. Decisions:
//! - `$ref` is replaced by what it points at; a recursion ends in an object of any shape.
//! - `const` becomes `enum`; `oneOf` becomes `anyOf`; `allOf` is merged; a type array becomes `anyOf`, `null` `nullable`.
//! - An enumeration of anything but texts moves into the description: Gemini's `enum` holds texts only.
//! - `anyOf` stands alone: Gemini refuses other fields beside it. A description moves to the alternatives.
//! - A model that also reads a JSON schema gets one where that loses less (maps, tuples, enumerations of numbers);
//!   `json` says what that form keeps.
//! - `additionalProperties: false` is no loss: Gemini writes declared properties only.

use serde_json::{Map, Value};

use crate::Drops;

use super::value::{put, single};

mod json;
mod typed;

use typed::types_of;

/// How deep a lowered schema may be.
const DEPTH_MAX: usize = 24;

/// How many subschemas one schema may have, references replaced.
const NODES_MAX: usize = 4_096;

/// How many bytes may be copied, to replace references, to merge `allOf` and to describe alternatives.
const COPIED_BYTES_MAX: usize = 2 << 20;

/// Keywords that say nothing about what is valid.
const SILENT: [&str; 11] = [
    "$schema",
    "$id",
    "$anchor",
    "$comment",
    "$defs",
    "definitions",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "additionalProperties",
];

type Fields = Map<String, Value>;

/// A schema in one of the two forms that Gemini reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    /// For `parameters` and `responseSchema`.
    Lowered(Value),
    /// For `parametersJsonSchema` and `responseJsonSchema`.
    Json(Value),
}

/// Writes `schema`, which stands at `path`, in the form that loses less.
pub(super) fn write(schema: &Value, path: &str, reads_json: bool, drops: &mut Drops) -> Written {
    let mut lost = Drops::new();
    let lowered = lower(schema, path, &mut lost);
    if reads_json && !lost.is_empty() && json::is_object(schema) && !json::recurs_always(schema) {
        let mut lost_otherwise = Drops::new();
        let cut = json::cut(schema, path, &mut lost_otherwise);
        if lost_otherwise.as_slice().len() < lost.as_slice().len() {
            drops.append(lost_otherwise);
            return Written::Json(cut);
        }
    }
    drops.append(lost);
    Written::Lowered(lowered)
}

/// Lowers `schema`, which stands at `path`.
fn lower(schema: &Value, path: &str, drops: &mut Drops) -> Value {
    let mut lowering = Lowering {
        root: schema,
        drops,
        nodes_left: NODES_MAX,
        copied_bytes_left: COPIED_BYTES_MAX,
        open: Vec::new(),
    };
    Value::Object(lowering.node(schema, path, DEPTH_MAX))
}

struct Lowering<'a> {
    root: &'a Value,
    drops: &'a mut Drops,
    nodes_left: usize,
    copied_bytes_left: usize,
    /// The references that are being replaced just now.
    open: Vec<String>,
}

impl<'a> Lowering<'a> {
    fn drop(&mut self, path: &str, keyword: &str, reason: &'static str) {
        self.drops.push(format!("{path}.{keyword}"), reason);
    }

    fn node(&mut self, schema: &Value, path: &str, depth: usize) -> Fields {
        let (Some(depth), Some(left)) = (depth.checked_sub(1), self.nodes_left.checked_sub(1))
        else {
            self.drops
                .push(path.to_owned(), "the schema is too deep or too large");
            return object_of_any_shape();
        };
        self.nodes_left = left;
        let Value::Object(fields) = schema else {
            if schema != &Value::Bool(true) {
                self.drops.push(path.to_owned(), "not a schema");
            }
            return anything();
        };
        if let Some(members) = fields.get("allOf") {
            let merged = self.merge(fields, members, path);
            return self.node(&Value::Object(merged), path, depth);
        }
        if let Some(Value::String(reference)) = fields.get("$ref") {
            return self.reference(reference, fields, path, depth);
        }
        self.plain(fields, path, depth)
    }

    /// Replaces a reference by what it points at, and lets the description beside it win.
    fn reference(&mut self, reference: &str, fields: &Fields, path: &str, depth: usize) -> Fields {
        let target = self.resolve(reference);
        let mut lowered = match target {
            Some(target) if !self.open.iter().any(|open| open == reference) => {
                if self.may_copy(target) {
                    self.open.push(reference.to_owned());
                    let lowered = self.node(target, path, depth);
                    self.open.pop();
                    lowered
                } else {
                    self.drop(path, "$ref", "the schema is too deep or too large");
                    object_of_any_shape()
                }
            }
            Some(_) => {
                self.drop(path, "$ref", "gemini has no recursive schemas");
                object_of_any_shape()
            }
            None => {
                self.drop(path, "$ref", "it points at nothing in this schema");
                anything()
            }
        };
        for (keyword, value) in fields {
            match (keyword.as_str(), value) {
                ("$ref", _) => {}
                ("description", Value::String(text)) => {
                    self.describe(&mut lowered, text, true, path);
                }
                (keyword, _) if SILENT.contains(&keyword) => {}
                (keyword, _) => self.drop(path, keyword, "it stands beside a $ref"),
            }
        }
        lowered
    }

    fn resolve(&self, reference: &str) -> Option<&'a Value> {
        self.root.pointer(reference.strip_prefix('#')?)
    }

    /// Whether a copy of this value is within the bound.
    fn may_copy(&mut self, value: &Value) -> bool {
        spend(value, &mut self.copied_bytes_left)
    }

    /// One schema out of a schema and all of its `allOf`: properties and requirements add up, else the first wins.
    fn merge(&mut self, fields: &Fields, members: &Value, path: &str) -> Fields {
        let mut merged = Map::new();
        for (keyword, value) in fields {
            if keyword != "allOf" && self.may_copy(value) {
                merged.insert(keyword.clone(), value.clone());
            }
        }
        for member in members.as_array().map_or(&[][..], Vec::as_slice) {
            let resolved = match member.get("$ref").and_then(Value::as_str) {
                Some(reference) if self.open.iter().any(|open| open == reference) => None,
                Some(reference) => self.resolve(reference),
                None => Some(member),
            };
            match resolved {
                Some(value @ Value::Object(more)) if self.may_copy(value) => {
                    self.merge_one(&mut merged, more, path);
                }
                _ => self.drop(
                    path,
                    "allOf",
                    "a member is no schema, recursive, or too large",
                ),
            }
        }
        merged
    }

    fn merge_one(&mut self, merged: &mut Fields, more: &Fields, path: &str) {
        for (keyword, value) in more {
            match (merged.get_mut(keyword), value) {
                (Some(Value::Object(have)), Value::Object(new)) => {
                    for (name, schema) in new {
                        have.entry(name.clone()).or_insert_with(|| schema.clone());
                    }
                }
                (Some(Value::Array(have)), Value::Array(new)) if keyword == "required" => {
                    have.extend(new.iter().cloned());
                }
                (Some(have), new) => {
                    if have != new {
                        self.drop(path, keyword, "said twice in allOf; the first is kept");
                    }
                }
                (None, new) => {
                    merged.insert(keyword.clone(), new.clone());
                }
            }
        }
    }

    /// Adds a description, unless it would have to be copied too often.
    fn describe(&mut self, lowered: &mut Fields, text: &str, over: bool, path: &str) {
        let alternatives = lowered.get("anyOf").and_then(Value::as_array);
        let bytes = alternatives.map_or(0, |members| text.len().saturating_mul(members.len()));
        match self.copied_bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.copied_bytes_left = left;
                describe(lowered, text, over);
            }
            None => self.drop(path, "description", "the schema is too deep or too large"),
        }
    }

    fn plain(&mut self, fields: &Fields, path: &str, depth: usize) -> Fields {
        let mut types = types_of(fields);
        let mut nullable =
            types.remove("NULL") || fields.get("nullable") == Some(&Value::Bool(true));
        if types.is_empty() && nullable && !fields.contains_key("anyOf") {
            return single("type", "NULL");
        }
        let alternatives = ["anyOf", "oneOf"]
            .into_iter()
            .find_map(|keyword| Some((keyword, fields.get(keyword)?.as_array()?)));
        if let Some((keyword, members)) = alternatives {
            if types.is_empty() {
                return self.any_of(fields, keyword, members, nullable, path, depth);
            }
            if members.iter().all(is_null_schema) {
                nullable = true;
            } else {
                self.drop(path, keyword, "gemini takes no alternatives beside a type");
            }
        }
        let mut lowered = match types.len() {
            0 => {
                self.name_unknown(fields, &[], path);
                anything()
            }
            1 => {
                let kind = types.first().copied().unwrap_or("OBJECT");
                self.typed(kind, fields, path, depth, true)
            }
            _ => {
                let members = types
                    .iter()
                    .map(|kind| Value::Object(self.typed(kind, fields, path, depth, false)))
                    .collect::<Vec<_>>();
                single("anyOf", members)
            }
        };
        if let Some(Value::String(text)) = fields.get("description") {
            self.describe(&mut lowered, text, false, path);
        }
        make_nullable(&mut lowered, nullable);
        lowered
    }

    fn any_of(
        &mut self,
        fields: &Fields,
        keyword: &str,
        members: &[Value],
        mut nullable: bool,
        path: &str,
        depth: usize,
    ) -> Fields {
        let mut lowered = Vec::new();
        for (index, member) in members.iter().enumerate() {
            if is_null_schema(member) {
                nullable = true;
                continue;
            }
            let mut node = self.node(member, &format!("{path}.{keyword}[{index}]"), depth);
            match node.shift_remove("anyOf") {
                // Alternatives of alternatives are alternatives.
                Some(Value::Array(inner)) => lowered.extend(inner),
                _ => lowered.push(Value::Object(node)),
            }
        }
        self.name_unknown(fields, &[keyword, "description", "nullable"], path);
        let mut whole = match (lowered.len(), lowered.pop()) {
            (1, Some(Value::Object(only))) => only,
            (0, _) => anything(),
            (_, last) => {
                lowered.extend(last);
                single("anyOf", lowered)
            }
        };
        if let Some(Value::String(text)) = fields.get("description") {
            self.describe(&mut whole, text, false, path);
        }
        make_nullable(&mut whole, nullable);
        whole
    }
}

/// Takes about as many bytes as `value` has; `false` when there are not enough.
fn spend(value: &Value, left: &mut usize) -> bool {
    let own = match value {
        Value::String(text) => text.len(),
        Value::Object(fields) => fields.keys().map(String::len).sum(),
        _ => 0,
    };
    // What stands around a value: quotation marks, commas, brackets.
    let Some(rest) = left.checked_sub(own.saturating_add(4)) else {
        *left = 0;
        return false;
    };
    *left = rest;
    match value {
        Value::Array(items) => items.iter().all(|item| spend(item, left)),
        Value::Object(fields) => fields.values().all(|field| spend(field, left)),
        _ => true,
    }
}

fn is_null_schema(schema: &Value) -> bool {
    schema.get("type") == Some(&Value::String("null".to_owned()))
        || schema.get("const") == Some(&Value::Null)
}

/// Gemini wants a type everywhere: anything is what a text, a number, a flag or an object is.
fn anything() -> Fields {
    let members: Vec<Value> = ["STRING", "NUMBER", "BOOLEAN", "OBJECT"]
        .into_iter()
        .map(|kind| Value::Object(single("type", kind)))
        .collect();
    single("anyOf", members)
}

fn object_of_any_shape() -> Fields {
    single("type", "OBJECT")
}

/// Adds a description: to the schema, or to each alternative that has none. `over` lets it win over what is there.
fn describe(lowered: &mut Fields, text: &str, over: bool) {
    if let Some(Value::Array(members)) = lowered.get_mut("anyOf") {
        for member in members {
            if let Value::Object(member) = member
                && !member.contains_key("description")
            {
                put(member, "description", text);
            }
        }
        return;
    }
    let joined = match lowered.get("description") {
        Some(Value::String(have)) if !over && have != text => format!("{text} {have}"),
        _ => text.to_owned(),
    };
    put(lowered, "description", joined);
}

fn make_nullable(lowered: &mut Fields, nullable: bool) {
    if !nullable {
        return;
    }
    if let Some(Value::Array(members)) = lowered.get_mut("anyOf") {
        let null = Value::Object(single("type", "NULL"));
        if !members.contains(&null) {
            members.push(null);
        }
    } else {
        put(lowered, "nullable", true);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Lowers `schema` and compares the result and the names of what was lost.
    fn check(schema: &Value, expected: &Value, lost: &[&str]) {
        let mut drops = Drops::new();
        let lowered = lower(schema, "s", &mut drops);
        assert_eq!(&lowered, expected, "{schema}");
        let named: Vec<&str> = drops.as_slice().iter().map(|drop| &*drop.field).collect();
        assert_eq!(named, lost, "{schema}");
        assert_lawful(&lowered);
    }

    /// What Gemini accepts: known keywords, types in capitals, texts in `enum`, `items` in arrays, nothing else
    /// beside `anyOf`, and only declared properties in `required`.
    fn assert_lawful(schema: &Value) {
        const KNOWN: [&str; 19] = [
            "type",
            "format",
            "title",
            "description",
            "nullable",
            "enum",
            "items",
            "maxItems",
            "minItems",
            "properties",
            "required",
            "minProperties",
            "maxProperties",
            "minimum",
            "maximum",
            "minLength",
            "maxLength",
            "pattern",
            "default",
        ];
        let fields = schema.as_object().unwrap();
        if let Some(members) = fields.get("anyOf") {
            assert_eq!(fields.len(), 1, "{schema}");
            members.as_array().unwrap().iter().for_each(assert_lawful);
            return;
        }
        for keyword in fields.keys() {
            assert!(
                KNOWN.contains(&keyword.as_str()) || keyword == "propertyOrdering",
                "{keyword}"
            );
        }
        let kind = fields["type"].as_str().unwrap();
        assert!(kind.bytes().all(|byte| byte.is_ascii_uppercase()), "{kind}");
        if let Some(values) = fields.get("enum") {
            assert_eq!(kind, "STRING");
            assert!(values.as_array().unwrap().iter().all(Value::is_string));
        }
        assert_eq!(kind == "ARRAY", fields.contains_key("items"), "{schema}");
        fields.get("items").into_iter().for_each(assert_lawful);
        let empty = Map::new();
        let properties = fields
            .get("properties")
            .map_or(&empty, |p| p.as_object().unwrap());
        properties.values().for_each(assert_lawful);
        for name in fields
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            assert!(properties.contains_key(name.as_str().unwrap()), "{schema}");
        }
    }

    /// What Gemini reads as a JSON schema: known keywords, nothing beside a reference to a definition.
    fn assert_cut(schema: &Value) {
        const KNOWN: [&str; 21] = [
            "type",
            "format",
            "title",
            "description",
            "enum",
            "items",
            "prefixItems",
            "minItems",
            "maxItems",
            "minimum",
            "maximum",
            "anyOf",
            "oneOf",
            "properties",
            "additionalProperties",
            "required",
            "propertyOrdering",
            "minLength",
            "maxLength",
            "pattern",
            "uniqueItems",
        ];
        let fields = schema.as_object().unwrap();
        for (keyword, value) in fields {
            let refers = fields.contains_key("$ref");
            match (keyword.as_str(), value) {
                ("$ref", value) => assert!(value.as_str().unwrap().starts_with("#/$defs/")),
                ("$defs", value) => value.as_object().unwrap().values().for_each(assert_cut),
                (keyword, _) if refers || !KNOWN.contains(&keyword) => panic!("{schema}"),
                ("properties", value) => value.as_object().unwrap().values().for_each(assert_cut),
                ("items" | "additionalProperties", Value::Object(_)) => assert_cut(value),
                ("anyOf" | "oneOf" | "prefixItems", value) => {
                    value.as_array().unwrap().iter().for_each(assert_cut);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_form_that_loses_less_is_written() {
        let lossy = json!({
            "type": "object",
            "properties": {
                "level": {"type": "integer", "enum": [1, 2]},
                "labels": {"type": "object", "additionalProperties": {"$ref": "#/definitions/L"}}
            },
            "definitions": {"L": {"type": "string", "format": "date"}}
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "level": {"type": "integer", "enum": [1, 2]},
                "labels": {"type": "object", "additionalProperties": {"$ref": "#/$defs/L"}}
            },
            "$defs": {"L": {"type": "string", "format": "date"}}
        });
        let mut drops = Drops::new();
        assert_eq!(
            write(&lossy, "s", true, &mut drops),
            Written::Json(expected)
        );
        assert!(drops.is_empty());
        assert!(matches!(
            write(&lossy, "s", false, &mut drops),
            Written::Lowered(_)
        ));
        assert!(!drops.is_empty());

        let simple = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        assert!(matches!(
            write(&simple, "s", true, &mut drops),
            Written::Lowered(_)
        ));
        let tree = |required: &[&str]| {
            let node = json!({
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/N"}, "of": {"type": "array", "items": {"$ref": "#/$defs/N"}}},
                "required": required
            });
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/N"}}, "required": ["a"], "$defs": {"N": node}})
        };
        let cases = [(&[][..], true), (&["next"], false), (&["of"], false)];
        for (required, is_json) in cases {
            let written = write(&tree(required), "s", true, &mut drops);
            assert_eq!(matches!(written, Written::Json(_)), is_json, "{required:?}");
        }
    }

    #[test]
    fn what_gemini_knows_is_kept() {
        check(
            &json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "description": "a place",
                "properties": {
                    "city": {"type": "string", "minLength": 1, "pattern": "^[A-Z]"},
                    "days": {"type": "integer", "minimum": 1, "exclusiveMaximum": 8, "format": "int32"},
                    "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
                    "unit": {"enum": ["C", "F"]}
                },
                "required": ["city"],
                "additionalProperties": false
            }),
            &json!({
                "type": "OBJECT",
                "required": ["city"],
                "properties": {
                    "city": {"type": "STRING", "minLength": 1, "pattern": "^[A-Z]"},
                    "days": {"type": "INTEGER", "minimum": 1, "maximum": 7, "format": "int32"},
                    "tags": {"type": "ARRAY", "items": {"type": "STRING"}, "maxItems": 3},
                    "unit": {"type": "STRING", "format": "enum", "enum": ["C", "F"]}
                },
                "propertyOrdering": ["city", "days", "tags", "unit"],
                "description": "a place"
            }),
            &[],
        );
    }

    #[test]
    fn null_becomes_nullable_and_several_types_alternatives() {
        check(
            &json!({"type": ["string", "null"]}),
            &json!({"type": "STRING", "nullable": true}),
            &[],
        );
        check(
            &json!({"type": ["string", "integer", "null"], "description": "d"}),
            &json!({"anyOf": [{"type": "INTEGER", "description": "d"}, {"type": "STRING", "description": "d"}, {"type": "NULL"}]}),
            &[],
        );
        check(
            &json!({"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d", "default": null}),
            &json!({"type": "STRING", "description": "d", "nullable": true}),
            &[],
        );
        check(
            &json!({"enum": ["a", null]}),
            &json!({"type": "STRING", "format": "enum", "enum": ["a"], "nullable": true}),
            &[],
        );
        check(&json!({"type": "null"}), &json!({"type": "NULL"}), &[]);
    }

    #[test]
    fn references_are_replaced_and_recursion_ends() {
        check(
            &json!({
                "$defs": {"City": {"type": "string", "description": "name"}},
                "type": "object",
                "properties": {"from": {"$ref": "#/$defs/City"}, "to": {"$ref": "#/$defs/City", "description": "where to"}}
            }),
            &json!({
                "type": "OBJECT",
                "properties": {
                    "from": {"type": "STRING", "description": "name"},
                    "to": {"type": "STRING", "description": "where to"}
                },
                "propertyOrdering": ["from", "to"]
            }),
            &[],
        );
        check(
            &json!({
                "$ref": "#/$defs/Node",
                "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}}
            }),
            &json!({
                "type": "OBJECT",
                "properties": {"next": {"type": "OBJECT"}},
                "propertyOrdering": ["next"]
            }),
            &["s.properties.next.$ref"],
        );
    }

    #[test]
    fn constants_and_alternatives_are_said_in_other_words() {
        check(
            &json!({"const": "a"}),
            &json!({"type": "STRING", "format": "enum", "enum": ["a"]}),
            &[],
        );
        check(
            &json!({"type": "integer", "enum": [1, 2], "description": "Priority."}),
            &json!({"type": "INTEGER", "description": "Priority. One of: 1, 2."}),
            &["s.enum"],
        );
        check(
            &json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            &json!({"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]}),
            &[],
        );
        check(
            &json!({"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}]}),
            &json!({
                "type": "OBJECT",
                "required": ["a", "b"],
                "properties": {"a": {"type": "STRING"}, "b": {"type": "BOOLEAN"}},
                "propertyOrdering": ["a", "b"]
            }),
            &[],
        );
    }

    #[test]
    fn what_is_lost_is_named() {
        check(
            &json!({
                "type": "object",
                "properties": {"mail": {"type": "string", "format": "email"}},
                "patternProperties": {"^x": {"type": "string"}},
                "additionalProperties": {"type": "string"},
                "required": ["mail", "ghost"]
            }),
            &json!({
                "type": "OBJECT",
                "required": ["mail"],
                "properties": {"mail": {"type": "STRING"}},
                "propertyOrdering": ["mail"]
            }),
            &[
                "s.properties.mail.format",
                "s.required",
                "s.additionalProperties",
                "s.patternProperties",
            ],
        );
    }

    #[test]
    fn a_long_chain_of_references_is_bounded() {
        let mut defs = Map::new();
        for level in 0..50_000 {
            let next = format!("#/$defs/L{}", level + 1);
            defs.insert(format!("L{level}"), json!({"items": {"$ref": next}}));
        }
        let schema = json!({
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/L0"}},
            "required": ["a"],
            "$defs": defs
        });
        let written = write(&schema, "s", true, &mut Drops::new());
        assert!(matches!(written, Written::Lowered(_)));
    }

    #[test]
    fn a_schema_that_explodes_is_bounded() {
        let mut defs = Map::new();
        for level in 0..20 {
            let next = format!("#/$defs/L{}", level + 1);
            defs.insert(
                format!("L{level}"),
                json!({"type": "object", "properties": {"a": {"$ref": next}, "b": {"$ref": next}}}),
            );
        }
        let mut drops = Drops::new();
        let lowered = lower(
            &json!({"$ref": "#/$defs/L0", "$defs": defs}),
            "s",
            &mut drops,
        );
        assert_lawful(&lowered);
        assert!(!drops.is_empty());
        assert!(lowered.to_string().len() < 1 << 20);
    }

    #[test]
    fn a_text_is_not_copied_without_end() {
        let long = "x".repeat(100_000);
        let refer = json!({"$ref": "#/$defs/L"});
        let merge = json!({"allOf": [refer, {"title": "t"}]});
        let choice = json!({"anyOf": vec![json!({"type": "string"}); 4_000], "description": long});
        for schema in [
            json!({"anyOf": vec![refer; 4_000]}),
            json!({"anyOf": vec![merge; 1_000]}),
            choice,
        ] {
            let mut schema = schema;
            schema["$defs"] =
                json!({"L": {"type": "string", "description": long, "pattern": long}});
            let mut drops = Drops::new();
            let lowered = lower(&schema, "s", &mut drops);
            assert_lawful(&lowered);
            assert!(lowered.to_string().len() < 2 * COPIED_BYTES_MAX);
            assert!(!drops.is_empty());
        }
    }

    fn any_schema() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            Just(json!(0.5)),
            "(string|object|array|integer|null|#|#/a|#/\\$defs/a|#/properties/a|x)"
                .prop_map(Value::String),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            let keyword = proptest::sample::select(vec![
                "type",
                "properties",
                "items",
                "anyOf",
                "oneOf",
                "allOf",
                "$ref",
                "$defs",
                "enum",
                "const",
                "required",
                "a",
                "format",
                "minimum",
                "exclusiveMinimum",
                "maxItems",
                "nullable",
                "description",
                "prefixItems",
                "additionalProperties",
                "title",
                "default",
            ]);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::vec((keyword, inner), 0..6).prop_map(|fields| {
                    Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_json_becomes_a_lawful_schema(schema in any_schema()) {
            assert_lawful(&lower(&schema, "s", &mut Drops::new()));
            match write(&schema, "s", true, &mut Drops::new()) {
                Written::Lowered(lowered) => assert_lawful(&lowered),
                Written::Json(cut) => assert_cut(&cut),
            }
            assert_cut(&json::cut(&schema, "s", &mut Drops::new()));
        }
    }
}
