//! Gemini's `Schema` as a JSON schema. Total: what is no schema is left as it is.

use serde_json::{Map, Value};

/// Raises a schema.
pub(super) fn raise(schema: Value) -> Value {
    let Value::Object(fields) = schema else {
        return schema;
    };
    let nullable = fields.get("nullable") == Some(&Value::Bool(true));
    let mut raised = Map::new();
    for (key, value) in fields {
        let value = match (key.as_str(), value) {
            ("nullable" | "propertyOrdering" | "property_ordering", _) => continue,
            ("format", Value::String(format)) if format == "enum" => continue,
            ("type", Value::String(name)) => {
                let name = Value::String(name.to_ascii_lowercase());
                if nullable {
                    Value::Array(vec![name, Value::String("null".to_owned())])
                } else {
                    name
                }
            }
            ("properties", Value::Object(properties)) => Value::Object(
                properties
                    .into_iter()
                    .map(|(name, schema)| (name, raise(schema)))
                    .collect(),
            ),
            ("items", schema) => raise(schema),
            ("anyOf" | "any_of", Value::Array(members)) => {
                raised.insert("anyOf".to_owned(), members.into_iter().map(raise).collect());
                continue;
            }
            ("enum", Value::Array(mut values)) => {
                if nullable && !values.contains(&Value::Null) {
                    values.push(Value::Null);
                }
                Value::Array(values)
            }
            (_, value) => value,
        };
        raised.insert(super::camel(key), value);
    }
    Value::Object(raised)
}
