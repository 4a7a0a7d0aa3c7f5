//! Calls to providers, and their bodies: what is dropped is aborted.

use std::pin::pin;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use js_sys::Uint8Array;
use sluice_core::platform::{FetchError, Rest, Sink, UpstreamAnswer, UpstreamBody, UpstreamCall};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::answer::PipeSink;
use crate::{glue, headers};

/// A call that is aborted unless it came to its end.
struct Call {
    controller: glue::AbortController,
    is_over: bool,
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_over {
            self.controller.abort();
        }
    }
}

/// The body of a provider's answer.
pub(crate) struct Body {
    call: Call,
    pieces: glue::Pieces,
}

/// Calls a provider and waits for the answer's head.
pub(crate) async fn fetch(call: UpstreamCall) -> Result<UpstreamAnswer<Body>, FetchError> {
    let mut guard = Call {
        controller: glue::AbortController::new(),
        is_over: false,
    };
    let signal = guard.controller.signal();
    let headers = headers::lines(&call.headers);
    let promise = |body: &JsValue| {
        glue::call(call.method.as_str(), &call.url, &headers, body, &signal)
            // The address or a header is none that the platform takes: nothing was sent.
            .map_err(|_| FetchError::Connect)
    };
    let outcome = match call.rest {
        None => {
            let promise = promise(&Uint8Array::from(call.body.as_ref()))?;
            drop(call.body);
            JsFuture::from(promise).await
        }
        Some(rest) => {
            let pipe = glue::Pipe::new("");
            let promise = promise(&pipe.readable())?;
            let sent = pin!(send(PipeSink::new(pipe), call.body, rest));
            match select(JsFuture::from(promise), sent).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right((Ok(()), promise)) => promise.await,
                Either::Right((Err(()), _)) => return Err(FetchError::Broken),
            }
        }
    };
    let Ok(response) = outcome else {
        // The platform tells a refused connection from a broken one in no way, so the worse is assumed.
        guard.is_over = true;
        return Err(FetchError::Broken);
    };
    let (status, headers) =
        headers::answer(&glue::answered(&response)).ok_or(FetchError::Broken)?;
    let pieces = glue::Pieces::new(&response).map_err(|_| FetchError::Broken)?;
    Ok(UpstreamAnswer {
        status,
        headers,
        body: Body {
            call: guard,
            pieces,
        },
    })
}

/// Sends a body a piece at a time. What ends early ends the call.
async fn send(mut sink: PipeSink, first: Bytes, mut rest: Rest) -> Result<(), ()> {
    sink.send(first).await.map_err(|_| ())?;
    while let Some(piece) = rest.next().await {
        sink.send(piece.map_err(|_| ())?).await.map_err(|_| ())?;
    }
    sink.close().await.map_err(|_| ())
}

impl UpstreamBody for Body {
    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        match JsFuture::from(self.pieces.next()).await {
            Ok(piece) if piece.is_undefined() => {
                self.call.is_over = true;
                Ok(None)
            }
            Ok(piece) => {
                let piece: Uint8Array = piece.unchecked_into();
                Ok(Some(Bytes::from(piece.to_vec())))
            }
            Err(_) => {
                self.call.is_over = true;
                Err(FetchError::Broken)
            }
        }
    }
}
