//! Identifiers as distinct types, so that two of them never change places.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// The longest identifier, in bytes.
pub const ID_BYTES_MAX: usize = 128;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// Nothing was written.
    #[error("is empty")]
    Empty,
    /// Longer than [`ID_BYTES_MAX`].
    #[error("is longer than {ID_BYTES_MAX} bytes")]
    TooLong,
    /// A character outside the identifier's alphabet.
    #[error("contains {0:?}; allowed are letters, digits and {1}")]
    Character(char, &'static str),
}

fn check(text: &str, punctuation: &'static str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong);
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || punctuation.contains(*c)))
    {
        Some(found) => Err(IdError::Character(found, punctuation)),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $punctuation:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text that is a legal identifier.
            ///
            /// # Errors
            /// [`IdError`] names the first thing that is wrong.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text, $punctuation)?;
                Ok(Self(Arc::from(text)))
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(|error| {
                    serde::de::Error::custom(format_args!("the identifier {text:?} {error}"))
                })
            }
        }
    };
}

id!(
    /// An organisation: who pays.
    OrgId, "-_."
);
id!(
    /// A team within an organisation.
    TeamId, "-_."
);
id!(
    /// An application within a team.
    AppId, "-_."
);
id!(
    /// A person or service account within an organisation.
    UserId, "-_.@+"
);
id!(
    /// A virtual key: its public name, never its secret.
    KeyId, "-_"
);
id!(
    /// A configured provider.
    ProviderId, "-_."
);
id!(
    /// A model's name at a provider, or the name that callers use.
    ModelId, "-_.:/@+"
);
id!(
    /// Where state and traffic live: `eu`, `us`, `local`.
    Region, "-_"
);
id!(
    /// One request, from its arrival to its record.
    RequestId, "-_"
);
id!(
    /// A slice of a ledger's allowance that one isolate holds.
    LeaseId, "-_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legal_identifier_keeps_its_text() {
        assert_eq!(
            ModelId::new("openai/gpt-4o").unwrap().as_str(),
            "openai/gpt-4o"
        );
    }

    #[test]
    fn an_illegal_one_says_what_is_wrong() {
        assert_eq!(OrgId::new(""), Err(IdError::Empty));
        assert_eq!(OrgId::new("a b"), Err(IdError::Character(' ', "-_.")));
        assert_eq!(OrgId::new(&"a".repeat(129)), Err(IdError::TooLong));
    }
}
