//! Prices, as they are written.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! priced {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        document! {
            $(#[$doc])*
            $name {
                $($(#[$field_doc])* $field: $type,)*
                /// Input that no cache knows.
                input: Option<String>,
                /// Output.
                output: Option<String>,
                /// Input read from a prompt cache.
                input_cached: Option<String>,
                /// Input written to a prompt cache for five minutes or the provider's usual time.
                cache_write_5m: Option<String>,
                /// Input written to a prompt cache for an hour.
                cache_write_1h: Option<String>,
                /// Output that is reasoning.
                reasoning: Option<String>,
                /// Input that is audio.
                input_audio: Option<String>,
                /// Output that is audio.
                output_audio: Option<String>,
                /// Input that is an image.
                input_image: Option<String>,
            }
        }

        impl $name {
            /// The price of each kind as it was written, with the field's name, in a fixed order.
            #[must_use]
            pub fn kinds(&self) -> [(&'static str, Option<&str>); 9] {
                [
                    ("input", self.input.as_deref()),
                    ("output", self.output.as_deref()),
                    ("input_cached", self.input_cached.as_deref()),
                    ("cache_write_5m", self.cache_write_5m.as_deref()),
                    ("cache_write_1h", self.cache_write_1h.as_deref()),
                    ("reasoning", self.reasoning.as_deref()),
                    ("input_audio", self.input_audio.as_deref()),
                    ("output_audio", self.output_audio.as_deref()),
                    ("input_image", self.input_image.as_deref()),
                ]
            }
        }
    };
}

priced! {
    /// A model's prices from some day on: dollars for a million tokens, as decimal text.
    PriceDocument {
        /// The first day, `2026-11-21`, UTC; absent means always.
        effective_from: Option<String>,
        /// Dollars for a request, whatever it uses.
        per_request: Option<String>,
        /// Dollars for an image that is made.
        per_image: Option<String>,
        /// Dollars for a million characters that are spoken.
        per_million_characters: Option<String>,
        /// Dollars for a second that is listened to.
        per_second: Option<String>,
        /// Other prices for long inputs.
        above: Vec<TierDocument>,
    }
}

priced! {
    /// Other prices for the whole of a request whose input is longer than a bound.
    TierDocument {
        /// The bound.
        input_tokens: Option<u64>,
    }
}

/// A model's prices: one table, or several with different first days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PricesDocument(pub Vec<PriceDocument>);

impl Serialize for PricesDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for PricesDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = PricesDocument;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of prices, or an array of such tables")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let one = PriceDocument::deserialize(MapAccessDeserializer::new(map))?;
                Ok(PricesDocument(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(PricesDocument)
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}
