//! Schemas of one type, and which types a schema allows.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use super::super::value::{put, single};
use super::{Fields, Lowering, SILENT, anything, describe};

impl Lowering<'_> {
    /// A schema of one type. Keywords that no type knows are named when `alone`; otherwise they may belong to another.
    pub(super) fn typed(
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
            let mut seen = BTreeSet::new();
            for name in names {
                match name {
                    Value::String(text) if properties.contains_key(text) => {
                        if seen.insert(text) {
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

    pub(super) fn name_unknown(&mut self, fields: &Fields, known: &[&str], path: &str) {
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

/// The types that a schema allows, as it says or as its keywords imply.
pub(super) fn types_of(fields: &Fields) -> BTreeSet<&'static str> {
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
