//! One request of an instance waits for what another one does.
//!
//! Requests are tasks of the component model, and a waker of Rust's does not reach from one to the other. The end of a
//! stream does: nothing is ever sent, its end is the event.

use spin_sdk::wasip3::wit_stream;
use spin_sdk::wit_bindgen::{StreamReader, StreamWriter};

/// Happens when it is dropped.
pub(crate) struct Event {
    _stream: StreamWriter<u8>,
}

/// Waits for an event.
pub(crate) struct Wait(StreamReader<u8>);

/// An event and the wait for it.
pub(crate) fn event() -> (Event, Wait) {
    let (writer, reader) = wit_stream::new::<u8>();
    (Event { _stream: writer }, Wait(reader))
}

impl Wait {
    /// Returns when the event has happened.
    pub(crate) async fn over(mut self) {
        // Nothing is sent: this is the end.
        let _ = self.0.read(Vec::with_capacity(1)).await;
    }
}
