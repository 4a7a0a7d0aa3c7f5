//! What goes to a provider as it is, but for the model's name: forms, and bodies and answers of the direct endpoints.

use bytes::Bytes;
use sluice_wire::openai::direct::{Endpoint, Tap, used};
use sluice_wire::openai::form::Form;
use sluice_wire::{DecodeError, Malformed, json};

use crate::assertions::{is_bounded, is_strict_json};
use crate::requests::is_sentence;
use crate::splits;

const ENDPOINTS: [Endpoint; 8] = [
    Endpoint::Images,
    Endpoint::ImageEdits,
    Endpoint::ImageVariations,
    Endpoint::Speech,
    Endpoint::Transcriptions,
    Endpoint::Translations,
    Endpoint::Moderations,
    Endpoint::Rerank,
];
/// The model's name at the provider.
const RENAMED: &str = "renamed";

/// The first line is the content type, the rest the form. However it is cut and whenever it is let go of, the same
/// goes on, and names one model.
pub(crate) fn form(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes));
    let body = bytes.get(text.len() + 1..).unwrap_or_default();
    let whole = forward(&text, &[body], false);
    for pieces in splits::all(body) {
        for at_once in [false, true] {
            let again = forward(&text, &pieces, at_once);
            match (&again, &whole) {
                (Ok(again), Ok(whole)) => assert_eq!(again, whole, "cut in {}", pieces.len()),
                // Where it is cut decides which of several faults is met first.
                (Err(_), Err(error)) => is_sentence(error),
                _ => panic!("cut in {}: {again:?} {whole:?}", pieces.len()),
            }
        }
    }
    if let Ok((sent, Some(_))) = whole {
        let again = forward(&text, &[&sent], false);
        assert_eq!(again, Ok((sent, Some(RENAMED.to_owned()))));
    }
}

/// What goes on of a form, and the model that it names.
fn forward(
    content_type: &str,
    pieces: &[&[u8]],
    at_once: bool,
) -> Result<(Vec<u8>, Option<String>), Malformed> {
    let mut form = Form::new(content_type)?;
    let (mut sent, mut model) = (Vec::new(), None);
    for piece in pieces {
        form.push(piece)?;
        if at_once {
            model = form.text("model").map(str::to_owned).or(model);
            sent.extend(form.release(Some(RENAMED)));
        }
    }
    form.finish()?;
    model = form.text("model").map(str::to_owned).or(model);
    sent.extend(form.release(Some(RENAMED)));
    Ok((sent, model))
}

/// A body in JSON.
pub(crate) fn request(body: &[u8]) {
    for endpoint in ENDPOINTS {
        match endpoint.read(body) {
            Ok(facts) => {
                assert!(
                    !facts.model.is_empty() || endpoint == Endpoint::Rerank,
                    "{endpoint:?}"
                );
                let sent = endpoint
                    .request(&Bytes::copy_from_slice(body), RENAMED)
                    .body;
                is_strict_json(&sent, "a direct request");
                is_bounded(sent.len(), body, "a direct request");
                let model =
                    json::parse_object(&sent).and_then(|mut body| body.need_string("model"));
                assert_eq!(model.as_deref(), Ok(RENAMED));
            }
            Err(error) => is_sentence(&error),
        }
    }
}

/// An answer, whole or a stream.
pub(crate) fn answer(bytes: &[u8]) {
    let _ = used(bytes);
    for is_events in [false, true] {
        let run = |pieces: &[&[u8]]| -> Result<_, DecodeError> {
            let (mut tap, mut out) = (Tap::new(is_events), Vec::new());
            pieces
                .iter()
                .try_for_each(|piece| tap.push(piece, &mut out))?;
            tap.finish(&mut out)?;
            Ok((out, tap.usage(), tap.take_error()))
        };
        let whole = run(&[bytes]);
        // A provider's error is worded by the gateway, and ends the answer.
        let forwarded = whole
            .as_ref()
            .map(|(out, _, error)| out.starts_with(bytes) || (is_events && error.is_some()));
        assert_eq!(forwarded, Ok(true));
        for pieces in splits::all(bytes) {
            assert_eq!(run(&pieces), whole, "cut in {}", pieces.len());
        }
    }
}
