//! Reads JSON into structures, with as little code for each as can be.
//!
//! `serde_json` takes a structure as an object and as an array of its fields; the code for arrays is as long as that for
//! objects, and nobody writes them. Here a structure is an object, and field names are read in one place for all kinds.
//! Decides nothing about the JSON itself: what is valid, and where an error stands, says `serde_json`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Reads a value that is all there is.
///
/// # Errors
/// What is no JSON, and what does not fit the type.
pub fn from_slice<'de, T: Deserialize<'de>>(json: &'de [u8]) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = T::deserialize(Objects(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

/// Reads a value that is all there is.
///
/// # Errors
/// As [`from_slice`].
pub fn from_str<'de, T: Deserialize<'de>>(json: &'de str) -> serde_json::Result<T> {
    from_slice(json.as_bytes())
}

/// Reads a value that has been read as JSON before.
///
/// # Errors
/// What does not fit the type.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> serde_json::Result<T> {
    T::deserialize(Objects(value))
}

/// A deserializer or what it gives to visitors, whose structures are objects.
struct Objects<D>(D);

/// A visitor or a seed that is given such.
struct Within<V>(V);

macro_rules! forward {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Within(visitor))
        }
    )*};
}

/// What has nothing within it needs no visitor of ours.
macro_rules! pass {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    forward! { deserialize_any deserialize_option deserialize_seq deserialize_map }

    pass! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Within(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Within(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Within(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Object(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Within(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Within<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(deserializer))
    }
}

macro_rules! visit {
    ($($method:ident($type:ty))*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Within<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_u128(u128) visit_f64(f64)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String) visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Objects(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(fields))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Objects(variant))
    }
}

/// A visitor that takes an object and nothing else; as a seed, a variant's fields.
struct Object<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Object<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(fields))
    }
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Object<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Within(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.0.next_key_seed(AnyKey)? {
            Some(key) => seed.deserialize(Key(key, PhantomData)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Within(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

/// Reads a key as it stands.
struct AnyKey;

impl<'de> DeserializeSeed<'de> for AnyKey {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for AnyKey {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// A key that has been read.
struct Key<'de, E>(Cow<'de, str>, PhantomData<E>);

impl<'de, E: Error> Deserializer<'de> for Key<'de, E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.0 {
            Cow::Borrowed(key) => visitor.visit_borrowed_str(key),
            Cow::Owned(key) => visitor.visit_str(&key),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_enum(serde::de::value::CowStrDeserializer::new(self.0))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Objects<A> {
    type Error = A::Error;
    type Variant = Objects<A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Self::Variant), A::Error> {
        let (name, variant) = self.0.variant_seed(seed)?;
        Ok((name, Objects(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.0.newtype_variant_seed(Within(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Within(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.newtype_variant_seed(Object(visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct All<'a> {
        #[serde(borrow)]
        text: Cow<'a, str>,
        number: Number,
        float: f64,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        none: Option<Box<Self>>,
        some: Option<u64>,
        pair: (bool, String),
        kinds: Vec<Kind>,
        tagged: Tagged,
        by_kind: BTreeMap<Plain, Flat>,
        any: Value,
    }

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Number(i64);

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Unit,
        New(Number),
        Pair(u8, u8),
        Fields { one: String },
    }

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        A { inner: Inner },
    }

    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    enum Plain {
        One,
        Two,
    }

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Flat {
        own: u8,
        #[serde(flatten)]
        inner: Inner,
    }

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Inner {
        deep: u8,
    }

    const JSON: &str = r#"{"text":"one","number":-7,"float":0.1,"some":18446744073709551615,"pair":[true,"\u00e9\n"],
        "kinds":["unit",{"new":3},{"pair":[1,2]},{"fields":{"one":"two"}}],"tagged":{"type":"A","inner":{"deep":1}},
        "by_kind":{"One":{"own":1,"deep":2},"Two":{"deep":4,"own":3}},"any":{"a":[1,-1,1.5,null,true,"x",{}]}}"#;

    /// What is said of a text, by this and by `serde_json`.
    fn both(json: &str) -> [Result<All<'_>, String>; 2] {
        [
            from_slice(json.as_bytes()).map_err(|error| error.to_string()),
            serde_json::from_slice(json.as_bytes()).map_err(|error| error.to_string()),
        ]
    }

    #[test]
    fn all_kinds_are_read_as_serde_json_reads_them() {
        let [own, other] = both(JSON);
        assert!(own.is_ok(), "{own:?}");
        assert_eq!(own, other);
        let value: Value = serde_json::from_str(JSON).unwrap();
        assert_eq!(from_slice::<Value>(JSON.as_bytes()).unwrap(), value);
        #[derive(Debug, PartialEq, Deserialize)]
        struct Owned {
            kinds: Vec<Kind>,
            tagged: Tagged,
        }
        let own: Owned = from_value(value.clone()).unwrap();
        assert_eq!(own, serde_json::from_value(value).unwrap());
    }

    #[test]
    fn what_is_wrong_is_told_as_serde_json_tells_it() {
        for (from, to) in [
            ("\"one\"", "1"),
            ("-7", "\"-7\""),
            ("\"unit\"", "\"other\""),
            ("\"number\"", "\"unknown\""),
            ("\"float\":0.1,", ""),
            ("\"float\"", "\"number\""),
            ("{\"one\":\"two\"}", "{}"),
            ("\"One\"", "\"Three\""),
            ("\"deep\":4,", ""),
            ("null", "nul"),
            ("{}]}}", "{}]}} x"),
            ("{}]}}", "{}]}"),
            ("\\n", "\\q"),
        ] {
            let [own, other] = both(&JSON.replacen(from, to, 1)).map(Result::unwrap_err);
            assert_eq!(own, other, "{from} as {to}");
        }
    }

    #[test]
    fn a_key_may_be_escaped_and_a_text_borrowed() {
        let json = JSON.replacen("\"number\"", "\"n\\u0075mber\"", 1);
        let [own, other] = both(&json);
        assert_eq!(own, other);
        assert!(matches!(own.unwrap().text, Cow::Borrowed("one")));
    }

    #[test]
    fn raw_json_stays_as_it_was_written() {
        #[derive(Deserialize)]
        struct Raw<'a> {
            #[serde(borrow)]
            lent: &'a RawValue,
            own: Box<RawValue>,
        }
        let raw: Raw<'_> = from_slice(br#"{"lent": [1.0, 2], "own": {"a" : 1e2}}"#).unwrap();
        assert_eq!(
            (raw.lent.get(), raw.own.get()),
            ("[1.0, 2]", "{\"a\" : 1e2}")
        );
    }

    #[test]
    fn a_structure_is_no_array() {
        assert!(serde_json::from_slice::<Inner>(b"[1]").is_ok());
        let error = from_slice::<Inner>(b"[1]").unwrap_err().to_string();
        assert!(
            error.starts_with("invalid type: sequence, expected struct Inner"),
            "{error}"
        );
    }
}
