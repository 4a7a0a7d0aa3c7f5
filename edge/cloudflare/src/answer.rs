//! Answers on their way back to the caller.

use bytes::Bytes;
use js_sys::Uint8Array;
use sluice_core::platform::{Left, Sink};

use crate::glue;
use crate::task::settled;

/// The caller's end of a streamed answer. Dropped before its end, it breaks the answer off.
pub(crate) struct PipeSink {
    pipe: glue::Pipe,
    is_closed: bool,
}

impl PipeSink {
    /// The writing end of this pipe.
    pub(crate) const fn new(pipe: glue::Pipe) -> Self {
        Self {
            pipe,
            is_closed: false,
        }
    }
}

impl Sink for PipeSink {
    async fn send(&mut self, bytes: Bytes) -> Result<(), Left> {
        let written = self.pipe.write(Uint8Array::from(bytes.as_ref()));
        settled(&written).await.map(drop).map_err(|_| Left)
    }

    async fn close(mut self) -> Result<(), Left> {
        self.is_closed = true;
        settled(&self.pipe.close())
            .await
            .map(drop)
            .map_err(|_| Left)
    }
}

impl Drop for PipeSink {
    fn drop(&mut self) {
        if !self.is_closed {
            self.pipe.abort();
        }
    }
}
