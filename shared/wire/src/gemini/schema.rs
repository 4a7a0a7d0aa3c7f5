//! Lowers a JSON schema to the subset that Gemini calls `Schema`.
//!
//! Total: any JSON value goes in, a `Schema` that Gemini accepts comes out, and each keyword that was lost is named.
//! Follows <https://ai.google.dev/api/caching#Schema> (read 2025-12). Decisions:
//! - `$ref` is replaced by what it points at; a recursion ends in an object of any shape.
//! - `const` becomes `enum`; `oneOf` becomes `anyOf`; `allOf` is merged; a type array becomes `anyOf`, `null` `nullable`.
//! - An enumeration of anything but texts moves into the description: Gemini's `enum` holds texts only.
//! - `anyOf` stands alone: Gemini refuses other fields beside it. A description moves to the alternatives.
//! - `additionalProperties: false` is no loss: Gemini writes declared properties only.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use crate::Drops;

use super::value::{put, single};

/// How deep a lowered schema may be.
const DEPTH_MAX: usize = 24;

/// How many subschemas one schema may have, references replaced.
const NODES_MAX: usize = 4_096;

/// How many values may be copied to merge `allOf`.
const COPIES_MAX: usize = 65_536;

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

/// Lowers `schema`, which stands at `path`.
pub(super) fn lower(schema: &Value, path: &str, drops: &mut Drops) -> Value {
    let mut lowering = Lowering {
        root: schema,
        drops,
        nodes_left: NODES_MAX,
        copies_left: COPIES_MAX,
        open: Vec::new(),
    };
    Value::Object(lowering.node(schema, path, DEPTH_MAX))
}

struct Lowering<'a> {
    root: &'a Value,
    drops: &'a mut Drops,
    nodes_left: usize,
    copies_left: usize,
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
                self.open.push(reference.to_owned());
                let lowered = self.node(target, path, depth);
                self.open.pop();
                lowered
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
                ("description", Value::String(text)) => describe(&mut lowered, text, true),
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
        spend(value, &mut self.copies_left)
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
            describe(&mut lowered, text, false);
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
            describe(&mut whole, text, false);
        }
        make_nullable(&mut whole, nullable);
        whole
    }

    /// A schema of one type. Keywords that no type knows are named when `alone`; otherwise they may belong to another.
    fn typed(
        &mut self,
        kind: &str,
        fields: &Fields,
        path: &str,
        depth: usize,
        alone: bool,
    ) -> Fields {
        let mut lowered = single("type", kind);
        for keyword in ["title", "default"] {
            if let Some(value) = fields.get(keyword)
                && (value.is_string() || keyword == "default")
            {
                put(&mut lowered, keyword, value.clone());
            }
        }
        let known: &[&str] = match kind {
            "OBJECT" => {
                self.object(&mut lowered, fields, path, depth);
                &["properties", "required", "minProperties", "maxProperties"]
            }
            "ARRAY" => {
                self.array(&mut lowered, fields, path, depth);
                &["items", "prefixItems", "minItems", "maxItems"]
            }
            "STRING" => {
                self.string(&mut lowered, fields, path);
                &["minLength", "maxLength", "pattern", "format"]
            }
            "NUMBER" | "INTEGER" => {
                self.number(kind, &mut lowered, fields, path);
                &[
                    "minimum",
                    "maximum",
                    "exclusiveMinimum",
                    "exclusiveMaximum",
                    "format",
                ]
            }
            _ => &[],
        };
        self.enumeration(kind, &mut lowered, fields, path);
        if alone {
            self.name_unknown(fields, known, path);
        }
        lowered
    }

    fn object(&mut self, lowered: &mut Fields, fields: &Fields, path: &str, depth: usize) {
        let mut properties = Map::new();
        if let Some(Value::Object(declared)) = fields.get("properties") {
            for (name, schema) in declared {
                let node = self.node(schema, &format!("{path}.properties.{name}"), depth);
                properties.insert(name.clone(), Value::Object(node));
            }
        }
        if let Some(Value::Array(names)) = fields.get("required") {
            let mut required: Vec<Value> = Vec::new();
            for name in names {
                match name {
                    Value::String(text) if properties.contains_key(text) => {
                        if !required.contains(name) {
                            required.push(name.clone());
                        }
                    }
                    _ => self.drop(path, "required", "it names a property that is not declared"),
                }
            }
            if !required.is_empty() {
                put(lowered, "required", required);
            }
        }
        match fields.get("additionalProperties") {
            None | Some(Value::Bool(_)) => {}
            Some(_) => self.drop(
                path,
                "additionalProperties",
                "gemini writes declared properties only",
            ),
        }
        if !properties.is_empty() {
            let order: Vec<Value> = properties.keys().cloned().map(Value::String).collect();
            put(lowered, "properties", properties);
            put(lowered, "propertyOrdering", order);
        }
        self.counts(lowered, fields, &["minProperties", "maxProperties"], path);
    }

    fn array(&mut self, lowered: &mut Fields, fields: &Fields, path: &str, depth: usize) {
        let items = match (fields.get("prefixItems"), fields.get("items")) {
            (Some(Value::Array(tuple)), _) | (None, Some(Value::Array(tuple))) => {
                self.drop(
                    path,
                    "prefixItems",
                    "gemini has no tuples; each item may be any of them",
                );
                self.any_of(&Map::new(), "prefixItems", tuple, false, path, depth)
            }
            (_, Some(items)) => self.node(items, &format!("{path}.items"), depth),
            // Gemini refuses an array without `items`.
            (_, None) => anything(),
        };
        put(lowered, "items", items);
        self.counts(lowered, fields, &["minItems", "maxItems"], path);
    }

    fn string(&mut self, lowered: &mut Fields, fields: &Fields, path: &str) {
        self.counts(lowered, fields, &["minLength", "maxLength"], path);
        if let Some(pattern @ Value::String(_)) = fields.get("pattern") {
            put(lowered, "pattern", pattern.clone());
        }
        self.format(lowered, fields, &["date-time", "enum"], path);
    }

    fn number(&mut self, kind: &str, lowered: &mut Fields, fields: &Fields, path: &str) {
        for (keyword, exclusive, step) in [
            ("minimum", "exclusiveMinimum", 1_i64),
            ("maximum", "exclusiveMaximum", -1),
        ] {
            if let Some(Value::Number(bound)) = fields.get(keyword) {
                put(lowered, keyword, bound.clone());
            }
            match fields.get(exclusive) {
                Some(Value::Number(bound)) if !lowered.contains_key(keyword) => {
                    let next = bound.as_i64().and_then(|bound| bound.checked_add(step));
                    let bound = match next {
                        Some(next) if kind == "INTEGER" => Number::from(next),
                        _ => {
                            self.drop(path, exclusive, "read as inclusive");
                            bound.clone()
                        }
                    };
                    put(lowered, keyword, Value::Number(bound));
                }
                None => {}
                Some(_) => self.drop(path, exclusive, "gemini has inclusive bounds only"),
            }
        }
        let formats: &[&str] = if kind == "INTEGER" {
            &["int32", "int64"]
        } else {
            &["float", "double"]
        };
        self.format(lowered, fields, formats, path);
    }

    fn format(&mut self, lowered: &mut Fields, fields: &Fields, allowed: &[&str], path: &str) {
        match fields.get("format") {
            Some(Value::String(format)) if allowed.contains(&format.as_str()) => {
                put(lowered, "format", format.clone());
            }
            None => {}
            Some(_) => self.drop(path, "format", "gemini does not know this format"),
        }
    }

    fn counts(&mut self, lowered: &mut Fields, fields: &Fields, keywords: &[&str], path: &str) {
        for keyword in keywords {
            match fields.get(*keyword).map(|count| (count.as_i64(), count)) {
                Some((Some(count), _)) if count >= 0 => put(lowered, keyword, count),
                None => {}
                Some(_) => self.drop(path, keyword, "not a count"),
            }
        }
    }

    fn enumeration(&mut self, kind: &str, lowered: &mut Fields, fields: &Fields, path: &str) {
        let (keyword, values) = match (fields.get("const"), fields.get("enum")) {
            (Some(value), _) => ("const", vec![value.clone()]),
            (None, Some(Value::Array(values))) => ("enum", values.clone()),
            (None, None) => return,
            (None, Some(_)) => return self.drop(path, "enum", "not an array"),
        };
        let values: Vec<Value> = values
            .into_iter()
            .filter(|value| kind_of(value) == kind || (kind == "NUMBER" && value.is_number()))
            .collect();
        if values.is_empty() {
            return;
        }
        if kind == "STRING" {
            put(lowered, "format", "enum");
            put(lowered, "enum", values);
            return;
        }
        let listed: Vec<String> = values.iter().map(Value::to_string).collect();
        describe(lowered, &format!("One of: {}.", listed.join(", ")), false);
        self.drop(
            path,
            keyword,
            "gemini lists texts only; the values are in the description",
        );
    }

    fn name_unknown(&mut self, fields: &Fields, known: &[&str], path: &str) {
        const EVERYWHERE: [&str; 9] = [
            "type",
            "description",
            "title",
            "default",
            "nullable",
            "enum",
            "const",
            "anyOf",
            "oneOf",
        ];
        for keyword in fields.keys().map(String::as_str) {
            let known = known.contains(&keyword)
                || EVERYWHERE.contains(&keyword)
                || SILENT.contains(&keyword);
            if !known {
                self.drop(path, keyword, "not in gemini's schemas");
            }
        }
    }
}

/// Takes one for each value in `value`; `false` when there is not enough.
fn spend(value: &Value, left: &mut usize) -> bool {
    let Some(rest) = left.checked_sub(1) else {
        return false;
    };
    *left = rest;
    match value {
        Value::Array(items) => items.iter().all(|item| spend(item, left)),
        Value::Object(fields) => fields.values().all(|field| spend(field, left)),
        _ => true,
    }
}

/// The types that a schema allows, as it says or as its keywords imply.
fn types_of(fields: &Fields) -> BTreeSet<&'static str> {
    let said: BTreeSet<_> = match fields.get("type") {
        Some(Value::String(name)) => type_named(name).into_iter().collect(),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(|name| type_named(name.as_str()?))
            .collect(),
        _ => BTreeSet::new(),
    };
    if !said.is_empty() {
        let mut said = said;
        if said.contains("NUMBER") {
            said.remove("INTEGER");
        }
        if let Some(Value::Array(values)) = fields.get("enum")
            && said.len() == 1
            && values.contains(&Value::Null)
        {
            said.insert("NULL");
        }
        return said;
    }
    if let Some(value) = fields.get("const") {
        return BTreeSet::from([kind_of(value)]);
    }
    if let Some(Value::Array(values)) = fields.get("enum") {
        return values.iter().map(kind_of).collect();
    }
    let implied = [
        ("OBJECT", ["properties", "required", "minProperties"]),
        ("ARRAY", ["items", "prefixItems", "minItems"]),
        ("STRING", ["pattern", "minLength", "maxLength"]),
        ("NUMBER", ["minimum", "maximum", "multipleOf"]),
    ];
    if fields.contains_key("anyOf") || fields.contains_key("oneOf") {
        return BTreeSet::new();
    }
    implied
        .into_iter()
        .find(|(_, keywords)| keywords.iter().any(|keyword| fields.contains_key(*keyword)))
        .map(|(kind, _)| kind)
        .into_iter()
        .collect()
}

fn type_named(name: &str) -> Option<&'static str> {
    [
        "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL",
    ]
    .into_iter()
    .find(|known| known.eq_ignore_ascii_case(name))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Bool(_) => "BOOLEAN",
        Value::Number(number) if number.is_f64() => "NUMBER",
        Value::Number(_) => "INTEGER",
        Value::String(_) => "STRING",
        Value::Array(_) => "ARRAY",
        Value::Object(_) => "OBJECT",
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
