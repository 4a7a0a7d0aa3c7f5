//! Calls to providers, and their bodies: what is dropped is aborted.

use std::pin::pin;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use js_sys::Uint8Array;
use sluice_core::platform::{FetchError, Rest, Sink, UpstreamAnswer, UpstreamBody, UpstreamCall};
use wasm_bindgen::prelude::*;

use crate::answer::PipeSink;
use crate::task::{Awaited, settled};
use crate::{glue, headers};

/// A call that is aborted unless it came to its end.
struct Call {
    call: glue::Call,
    is_over: bool,
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_over {
            self.call.abort();
        }
    }
}

/// The body of a provider's answer.
pub(crate) struct Body {
    call: Call,
    /// All of it, where it is short.
    short: Option<Bytes>,
}

/// Calls a provider and waits for the answer's head, and for a short body too. The call leaves from here, or is handed
/// to `way`.
pub(crate) async fn fetch(
    call: UpstreamCall,
    way: &JsValue,
) -> Result<UpstreamAnswer<Body>, FetchError> {
    let headers = headers::lines(&call.headers);
    let answered = Awaited::new();
    let begin = |body: &JsValue| {
        glue::Call::new(
            call.method.as_str(),
            &call.url,
            &headers,
            body,
            way,
            answered.key(),
        )
        .map(|call| Call {
            call,
            is_over: false,
        })
        // The address or a header is none that the platform takes: nothing was sent.
        .map_err(|_| FetchError::Connect)
    };
    let (mut guard, outcome) = match call.rest {
        None => {
            let guard = begin(&Uint8Array::from(call.body.as_ref()))?;
            drop(call.body);
            (guard, answered.await)
        }
        Some(rest) => {
            let pipe = glue::Pipe::new("");
            let guard = begin(&pipe.readable())?;
            let sent = pin!(send(PipeSink::new(pipe), call.body, rest));
            let outcome = match select(answered, sent).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right((Ok(()), answered)) => answered.await,
                Either::Right((Err(()), _)) => return Err(FetchError::Broken),
            };
            (guard, outcome)
        }
    };
    if outcome.is_err() {
        // The platform tells a refused connection from a broken one in no way, so the worse is assumed.
        guard.is_over = true;
        return Err(FetchError::Broken);
    }
    let (status, headers) = headers::answer(&guard.call.head()).ok_or(FetchError::Broken)?;
    let short = guard.call.short().map(|bytes| Bytes::from(bytes.to_vec()));
    guard.is_over = short.is_some();
    Ok(UpstreamAnswer {
        status,
        headers,
        body: Body { call: guard, short },
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
        if let Some(short) = &mut self.short {
            let whole = std::mem::take(short);
            return Ok((!whole.is_empty()).then_some(whole));
        }
        match settled(&self.call.call.next()).await {
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
