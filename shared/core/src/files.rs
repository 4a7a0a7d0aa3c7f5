//! Files and batches: what a provider keeps for the gateway's callers.
//!
//! Decides where they are kept, whose they are and what a batch must not do. Bodies go through: a file is neither held
//! nor read, so the lines of a batch are not read either. The identifiers that callers see are made by [`ids`].
//! Follows OpenAI's API description 2.3.0.

mod ask;
mod cite;
mod ids;
mod listing;
mod refer;

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};
use sluice_machines::record::Operation;
use sluice_units::{ProviderId, Span};
use sluice_wire::openai::direct::Units;
use sluice_wire::{DecodeError, Drops, ErrorClass, UpstreamRequest};

use crate::plan::Failure;
use crate::problem::Problem;
use crate::translate::Translated;
use crate::upload::Upload;
pub use cite::{Cited, may_name};
pub use ids::{Ids, SECRET, SECRET_BEFORE};
use listing::Listing;
pub use refer::{Held, held};

/// Where a batch says whose it is, among its metadata.
const OWNER: &str = "sluice_owner";

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A batch.
    Batch,
}

impl Kind {
    /// What its identifiers begin with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::File => "file-",
            Self::Batch => "batch_",
        }
    }

    /// Where providers keep it, without the slash.
    const fn place(self) -> &'static str {
        match self {
            Self::File => "files",
            Self::Batch => "batches",
        }
    }

    /// What OpenAI says when there is none.
    fn missing(self, id: &str) -> Problem {
        let shown: String = id
            .chars()
            .filter(char::is_ascii_graphic)
            .take(160)
            .collect();
        let message = match self {
            Self::File => format!("No such File object: {shown}"),
            Self::Batch => format!("No batch found with id '{shown}'."),
        };
        Problem::invalid(StatusCode::NOT_FOUND, "not_found", message).with_param("id")
    }
}

/// What an address asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked<'a> {
    /// A file is brought.
    Upload,
    /// A batch is begun.
    Begin,
    /// All that the caller's organisation has.
    List(Kind),
    /// One of them.
    Show(Kind, Cow<'a, str>),
    /// A file is no longer needed.
    Delete(Cow<'a, str>),
    /// What a file holds.
    Content(Cow<'a, str>),
    /// A batch is to end.
    Cancel(Cow<'a, str>),
}

/// A request for what a provider keeps.
#[derive(Debug)]
pub struct Files {
    /// What the provider is asked.
    pub request: UpstreamRequest,
    /// A file on its way there.
    pub upload: Option<Upload>,
    ids: Ids,
    /// What the answer speaks of.
    kind: Kind,
    provider: ProviderId,
    /// The one that is asked for: its kind, its name there, and what the caller calls it.
    one: Option<(Kind, String, String)>,
    shape: Shape,
}

/// What an answer is.
#[derive(Debug)]
enum Shape {
    Object,
    Bytes,
    List(Listing),
}

impl Files {
    /// What is on record for it.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self.kind {
            Kind::File => Operation::Files,
            Kind::Batch => Operation::Batches,
        }
    }

    /// The answer is what a file holds, whatever it says that it is.
    #[must_use]
    pub const fn is_bytes(&self) -> bool {
        matches!(self.shape, Shape::Bytes)
    }

    /// How a list is collected, where one is asked for.
    pub(crate) const fn listing(&self) -> Option<&Listing> {
        match &self.shape {
            Shape::List(listing) => Some(listing),
            Shape::Object | Shape::Bytes => None,
        }
    }

    /// A whole answer, in the caller's identifiers.
    ///
    /// # Errors
    /// [`DecodeError`] when it is not what the provider should say.
    pub fn answer(&self, body: &Bytes) -> Result<Translated, DecodeError> {
        let body = if self.listing().is_some() {
            // It was collected page by page.
            body.clone()
        } else {
            let mut object = object(body)?;
            self.tell(&mut object);
            Bytes::from(Value::Object(object).to_string())
        };
        Ok(Translated {
            body,
            usage: None,
            units: Units::default(),
            finish: None,
            drops: Drops::new(),
        })
    }

    /// Whether a file or batch of a list belongs to the caller's organisation.
    pub(crate) fn owns(&self, object: &Map<String, Value>) -> bool {
        let said = match self.kind {
            Kind::File => object.get("filename"),
            Kind::Batch => object.get("metadata").and_then(|all| all.get(OWNER)),
        };
        let said = said.and_then(Value::as_str).unwrap_or_default();
        self.ids.marks().any(|mark| match self.kind {
            Kind::File => said
                .strip_prefix(&*mark)
                .is_some_and(|rest| rest.starts_with('-')),
            Kind::Batch => said == mark,
        })
    }

    /// Puts an object of the provider's into the words of its owner.
    pub(crate) fn tell(&self, object: &mut Map<String, Value>) {
        let seal = |object: &mut Map<String, Value>, field: &str, kind: Kind| {
            let id = object.get(field).and_then(Value::as_str);
            if let Some(id) = id {
                let sealed = self.ids.seal(kind.prefix(), &self.provider, id);
                object.insert(field.to_owned(), sealed.into());
            }
        };
        seal(object, "id", self.kind);
        for field in ["input_file_id", "output_file_id", "error_file_id"] {
            seal(object, field, Kind::File);
        }
        if let Some(Value::String(name)) = object.get_mut("filename")
            && let Some(own) = self.ids.unmarked(name).map(str::to_owned)
        {
            *name = own;
        }
        if let Some(metadata) = object.get_mut("metadata")
            && let Some(entries) = metadata.as_object_mut()
            && entries.shift_remove(OWNER).is_some()
            && entries.is_empty()
        {
            *metadata = Value::Null;
        }
    }

    /// Takes the provider's own identifiers out of its words.
    pub(crate) fn reword(&self, message: &mut String) {
        if let Some((_, own, written)) = &self.one {
            *message = message.replace(own.as_str(), written);
        }
    }

    /// What the caller is told of a failure, where that is not what is always told.
    pub(crate) fn problem(&self, failure: &Failure) -> Option<Problem> {
        match (failure, &self.one) {
            (Failure::Answered(error), Some((kind, _, written)))
                if error.class == ErrorClass::NotFound =>
            {
                Some(kind.missing(written))
            }
            _ => None,
        }
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, DecodeError> {
    sluice_units::json::from_slice(body).map_err(|error| DecodeError::Shape {
        dialect: "openai",
        detail: format!("no object at line {}", error.line()),
    })
}

fn disabled() -> Problem {
    Problem::unavailable(
        "files_disabled",
        format!(
            "The gateway cannot tell whose files are whose: the secret {SECRET} is not set, or shorter than 32 characters."
        ),
        Span::from_seconds(60),
    )
}
