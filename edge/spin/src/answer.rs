//! Answers on their way back to the caller.
//!
//! A streamed answer goes through one slot: the next piece is taken when the platform has taken the one before. While
//! nothing is to be sent, a write of nothing asks now and then whether the caller is still there.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use futures_channel::mpsc::{Receiver, Sender, channel};
use futures_util::future::{Either, select};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode, header};
use sluice_core::platform::{Left, Sink};
use sluice_units::Span;
use spin_sdk::wasip3::http::types::{ErrorCode, Response};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{self, FutureWriter, StreamResult, StreamWriter};

use crate::{clock, headers};

/// How often a silent stream asks whether its caller is still there.
const PRESENCE_INTERVAL: Span = Span::from_millis(500);

type Trailers = Result<Option<spin_sdk::wasip3::http::types::Trailers>, ErrorCode>;

/// Whether the caller has gone away, as far as is known.
#[derive(Default)]
pub(crate) struct Presence {
    has_left: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Presence {
    fn leave(&self) {
        self.has_left.set(true);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Returns when the caller has gone away.
    pub(crate) async fn left(&self) {
        poll_fn(|context| {
            if self.has_left.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// An answer whose body is known.
pub(crate) fn whole(
    status: StatusCode,
    mut headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ErrorCode> {
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    if body.is_empty() {
        let (_, trailers) = wit_future::new::<Trailers>(|| Ok(None));
        return response(status, &headers, None, trailers);
    }
    let (mut stream, body_reader) = wit_stream::new::<u8>();
    let (trailers, trailers_reader) = wit_future::new::<Trailers>(|| Ok(None));
    wit_bindgen::spawn(async move {
        stream.write_all(body.into()).await;
        drop(stream);
        // A caller that left needs no trailers.
        let _ = trailers.write(Ok(None)).await;
    });
    response(status, &headers, Some(body_reader), trailers_reader)
}

/// An answer whose body is sent piece by piece, and the way to send it.
pub(crate) fn streamed(
    status: StatusCode,
    headers: &HeaderMap,
    presence: Rc<Presence>,
) -> Result<(Response, Pipe), ErrorCode> {
    let (stream, body) = wit_stream::new::<u8>();
    let (trailers, trailers_reader) = wit_future::new::<Trailers>(|| Ok(None));
    let response = response(status, headers, Some(body), trailers_reader)?;
    // One slot for the one sender.
    let (sender, receiver) = channel(0);
    let is_whole = Rc::new(Cell::new(false));
    let writer = Writer {
        stream,
        trailers,
        pieces: receiver,
        presence,
        is_whole: Rc::clone(&is_whole),
    };
    wit_bindgen::spawn(writer.run());
    Ok((response, Pipe { sender, is_whole }))
}

fn response(
    status: StatusCode,
    headers: &HeaderMap,
    body: Option<wit_bindgen::StreamReader<u8>>,
    trailers: wit_bindgen::FutureReader<Trailers>,
) -> Result<Response, ErrorCode> {
    let fields = headers::fields(headers)
        .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    let (response, _) = Response::new(fields, body, trailers);
    response
        .set_status_code(status.as_u16())
        .map_err(|()| ErrorCode::InternalError(Some("no such status".to_owned())))?;
    Ok(response)
}

/// The sending end of a streamed answer. Dropped before its end, it breaks the answer off.
pub(crate) struct Pipe {
    sender: Sender<Bytes>,
    is_whole: Rc<Cell<bool>>,
}

impl Sink for Pipe {
    async fn send(&mut self, bytes: Bytes) -> Result<(), Left> {
        self.sender.send(bytes).await.map_err(|_| Left)
    }

    async fn close(self) -> Result<(), Left> {
        self.is_whole.set(true);
        Ok(())
    }
}

/// Takes pieces out of the slot and writes them.
struct Writer {
    stream: StreamWriter<u8>,
    trailers: FutureWriter<Trailers>,
    pieces: Receiver<Bytes>,
    presence: Rc<Presence>,
    is_whole: Rc<Cell<bool>>,
}

impl Writer {
    async fn run(mut self) {
        loop {
            let next = {
                let silence = pin!(clock::sleep(PRESENCE_INTERVAL));
                match select(self.pieces.next(), silence).await {
                    Either::Left((piece, _)) => piece,
                    Either::Right(_) => Some(Bytes::new()),
                }
            };
            let Some(piece) = next else { break };
            if !self.write(piece).await {
                self.presence.leave();
                return;
            }
        }
        drop(self.stream);
        let end = if self.is_whole.get() {
            Ok(None)
        } else {
            Err(ErrorCode::HttpResponseIncomplete)
        };
        // A caller that left needs no trailers.
        let _ = self.trailers.write(end).await;
    }

    /// Whether the caller is still there.
    async fn write(&mut self, piece: Bytes) -> bool {
        if piece.is_empty() {
            let (result, _) = self.stream.write(Vec::new()).await;
            return result != StreamResult::Dropped;
        }
        self.stream.write_all(piece.into()).await.is_empty()
    }
}
