//! Things to embed, for callers of OpenAI's and of Google's clients.

use std::borrow::Cow;

use bytes::Bytes;
use sluice_units::{Tokens, Usage};
use sluice_wire::dialect::{decode_embeddings, encode_embeddings};
use sluice_wire::model::EmbeddingsRequest;
use sluice_wire::openai::direct::Units;
use sluice_wire::{DecodeError, Dialect, Downstream, Drops, UpstreamRequest, gemini, openai};

use super::{Translated, dialect};
use crate::config::TargetRef;
use crate::plan::Failure;

/// Things to embed.
#[derive(Debug)]
pub struct Embeddings {
    /// The caller's language.
    pub downstream: Downstream,
    /// A Gemini caller wants a list of vectors, and not one.
    pub is_many: bool,
    /// The request.
    pub request: EmbeddingsRequest,
}

impl Embeddings {
    pub(super) fn write(&self, target: &TargetRef) -> Result<(UpstreamRequest, Drops), Failure> {
        let dialect = dialect(target);
        let mut request = Cow::Borrowed(&self.request);
        let mut drops = Drops::new();
        let is_gemini = matches!(self.downstream, Downstream::GenerateContent(_));
        if is_gemini && dialect != Dialect::Gemini {
            drops = gemini::embeddings::leave(request.to_mut(), dialect);
        }
        let encoded = encode_embeddings(dialect, &request, &target.wire);
        let (request, more) = encoded.map_err(Failure::Inexpressible)?;
        drops.append(more);
        Ok((request, drops))
    }

    pub(super) fn answer(
        &self,
        target: &TargetRef,
        body: &[u8],
        input_likely: Tokens,
    ) -> Result<Translated, DecodeError> {
        let mut response = decode_embeddings(dialect(target), &self.request, body)?;
        let usage = response.usage;
        let encoded = match self.downstream {
            Downstream::GenerateContent(_) => {
                gemini::downstream::encode_embeddings(&response, self.is_many)
            }
            _ => {
                // OpenAI's dialect promises a count; where the provider keeps silent it is an estimate.
                response.usage.get_or_insert_with(|| Usage {
                    input: input_likely,
                    ..Usage::default()
                });
                openai::embeddings::encode_response(&response, self.request.encoding)
            }
        };
        Ok(Translated {
            body: Bytes::from(encoded),
            usage,
            units: Units::default(),
            finish: None,
            drops: Drops::new(),
        })
    }
}
