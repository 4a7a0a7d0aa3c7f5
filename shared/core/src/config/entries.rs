//! A table that remembers the order in which it was written.
//!
//! The order of providers decides who serves a bare model name, so it must survive parsing and printing.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Named values in the order of the document. A name stands at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries<T>(Vec<(String, T)>);

impl<T> Entries<T> {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// The value with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&T> {
        self.iter()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Every name with its value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Every name with its value, in order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut T)> {
        self.0
            .iter_mut()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// Adds a value at the end; one that stands there already is kept, and `false` returned.
    pub fn add(&mut self, name: &str, value: T) -> bool {
        let free = self.find(name).is_none();
        if free {
            self.0.push((name.to_owned(), value));
        }
        free
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Serialize> Serialize for Entries<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, T>()? {
                    entries.push(entry);
                }
                match twice(entries.iter().map(|(name, _)| name.as_str()).collect()) {
                    Some(name) => Err(serde::de::Error::custom(format_args!(
                        "{name:?} stands twice in one table"
                    ))),
                    None => Ok(Entries(entries)),
                }
            }
        }

        deserializer.deserialize_map(Table(PhantomData))
    }
}

/// The first name that stands twice, if one does.
fn twice(mut names: Vec<&str>) -> Option<&str> {
    names.sort_unstable();
    let mut pairs = names.iter().zip(names.iter().skip(1));
    pairs.find_map(|(one, next)| (one == next).then_some(*one))
}
