//! Incremental decoder and encoder for `application/vnd.amazon.eventstream`.
//!
//! Splits bytes into messages, whatever way the bytes are cut, and checks both checksums of each. Knows nothing
//! about JSON, Bedrock or time.
//! Follows <https://smithy.io/2.0/aws/amazon-eventstream.html>: a prelude of two lengths and their
//! CRC32, headers of ten types, a payload, the CRC32 of all before it; integers are big-endian.

use crate::crc32::crc32;
use crate::error::DecodeError;

/// The largest message, in bytes. The specification allows 24 MiB; no provider's event comes near.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// The largest block of headers, in bytes: the specification's own bound.
pub const HEADERS_BYTES_MAX: usize = 128 << 10;

const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
const FRAMING_BYTES: usize = PRELUDE_BYTES + CRC_BYTES;

/// What the format is called in errors.
const FORMAT: &str = "event stream";

/// One message. It borrows the bytes that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The headers, in their order.
    pub headers: Vec<(&'a str, HeaderValue<'a>)>,
    /// The payload.
    pub payload: &'a [u8],
}

/// A header's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    /// True or false.
    Bool(bool),
    /// Eight bits.
    Byte(i8),
    /// Sixteen bits.
    Short(i16),
    /// Thirty-two bits.
    Integer(i32),
    /// Sixty-four bits.
    Long(i64),
    /// Any bytes.
    Bytes(&'a [u8]),
    /// A text.
    Text(&'a str),
    /// Milliseconds since the Unix epoch.
    Timestamp(i64),
    /// A UUID.
    Uuid([u8; 16]),
}

impl<'a> Message<'a> {
    /// A header's text; `None` where there is no such header, or it is no text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.headers.iter().find(|(known, _)| *known == name)?;
        match value {
            HeaderValue::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Turns bytes into messages.
#[derive(Debug, Default)]
pub struct EventStreamDecoder {
    /// The beginning of a message that is not complete.
    kept: Vec<u8>,
}

impl EventStreamDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and calls `each` for every message that they complete.
    ///
    /// # Errors
    /// Those of `each`, [`DecodeError::EventTooLarge`], and [`DecodeError::Shape`] for a checksum that does not fit or
    /// bytes that are no message. The stream is then over.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        loop {
            if self.kept.is_empty() {
                let Some(size) = message_bytes(bytes)? else {
                    break;
                };
                let Some((whole, rest)) = bytes.split_at_checked(size) else {
                    break;
                };
                each(&message(whole)?)?;
                bytes = rest;
                continue;
            }
            // No more is kept than the message that has begun.
            let wanted = message_bytes(&self.kept)?.unwrap_or(PRELUDE_BYTES);
            let missing = wanted.saturating_sub(self.kept.len());
            let (more, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.kept.extend_from_slice(more);
            bytes = rest;
            if message_bytes(&self.kept)? == Some(self.kept.len()) {
                let whole = std::mem::take(&mut self.kept);
                each(&message(&whole)?)?;
            } else if bytes.is_empty() {
                return Ok(());
            }
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether no message has begun: nothing would be lost if the stream ended here.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// The length of the message that begins here; `None` while the prelude is not complete.
fn message_bytes(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some((prelude, _)) = bytes.split_first_chunk::<PRELUDE_BYTES>() else {
        return Ok(None);
    };
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *prelude;
    if crc32(&[a, b, c, d, e, f, g, h]) != u32::from_be_bytes([i, j, k, l]) {
        return Err(shape("the checksum of a message's prelude does not fit"));
    }
    let size = length([a, b, c, d]);
    let headers = length([e, f, g, h]);
    if size > MESSAGE_BYTES_MAX {
        return Err(DecodeError::EventTooLarge(MESSAGE_BYTES_MAX));
    }
    if headers > HEADERS_BYTES_MAX || size < headers.saturating_add(FRAMING_BYTES) {
        return Err(shape("the lengths of a message cannot be"));
    }
    Ok(Some(size))
}

/// Reads one whole message.
fn message(whole: &[u8]) -> Result<Message<'_>, DecodeError> {
    let cut = || shape("a message is cut");
    let (body, crc) = whole.split_last_chunk::<CRC_BYTES>().ok_or_else(cut)?;
    if crc32(body) != u32::from_be_bytes(*crc) {
        return Err(shape("the checksum of a message does not fit"));
    }
    let (prelude, rest) = body.split_first_chunk::<PRELUDE_BYTES>().ok_or_else(cut)?;
    let [_, _, _, _, a, b, c, d, ..] = *prelude;
    let (headers, payload) = rest
        .split_at_checked(length([a, b, c, d]))
        .ok_or_else(cut)?;
    let mut reader = Reader(headers);
    let mut named = Vec::new();
    while !reader.0.is_empty() {
        named.push(
            reader
                .header()
                .ok_or_else(|| shape("a message's headers cannot be read"))?,
        );
    }
    Ok(Message {
        headers: named,
        payload,
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn header(&mut self) -> Option<(&'a str, HeaderValue<'a>)> {
        let [size] = self.array()?;
        let name = self.text(usize::from(size))?;
        let [kind] = self.array()?;
        let value = match kind {
            0 => HeaderValue::Bool(true),
            1 => HeaderValue::Bool(false),
            2 => HeaderValue::Byte(i8::from_be_bytes(self.array()?)),
            3 => HeaderValue::Short(i16::from_be_bytes(self.array()?)),
            4 => HeaderValue::Integer(i32::from_be_bytes(self.array()?)),
            5 => HeaderValue::Long(i64::from_be_bytes(self.array()?)),
            6 => {
                let size = u16::from_be_bytes(self.array()?);
                HeaderValue::Bytes(self.bytes(usize::from(size))?)
            }
            7 => {
                let size = u16::from_be_bytes(self.array()?);
                HeaderValue::Text(self.text(usize::from(size))?)
            }
            8 => HeaderValue::Timestamp(i64::from_be_bytes(self.array()?)),
            9 => HeaderValue::Uuid(self.array()?),
            _ => return None,
        };
        Some((name, value))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn bytes(&mut self, size: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self, size: usize) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(size)?).ok()
    }
}

/// Appends one message. `None`, and nothing is appended, when a name, a value or the whole is longer than the format
/// can say.
pub fn write_message(out: &mut Vec<u8>, message: &Message<'_>) -> Option<()> {
    let mut headers = Vec::new();
    for (name, value) in &message.headers {
        headers.push(u8::try_from(name.len()).ok()?);
        headers.extend_from_slice(name.as_bytes());
        write_value(&mut headers, *value)?;
    }
    let size = headers
        .len()
        .checked_add(message.payload.len())?
        .checked_add(FRAMING_BYTES)?;
    if headers.len() > HEADERS_BYTES_MAX || size > MESSAGE_BYTES_MAX {
        return None;
    }
    let mut whole = Vec::with_capacity(size);
    whole.extend_from_slice(&u32::try_from(size).ok()?.to_be_bytes());
    whole.extend_from_slice(&u32::try_from(headers.len()).ok()?.to_be_bytes());
    let prelude = crc32(&whole);
    whole.extend_from_slice(&prelude.to_be_bytes());
    whole.extend_from_slice(&headers);
    whole.extend_from_slice(message.payload);
    let crc = crc32(&whole);
    whole.extend_from_slice(&crc.to_be_bytes());
    out.append(&mut whole);
    Some(())
}

fn write_value(out: &mut Vec<u8>, value: HeaderValue<'_>) -> Option<()> {
    match value {
        HeaderValue::Bool(true) => out.push(0),
        HeaderValue::Bool(false) => out.push(1),
        HeaderValue::Byte(number) => write_fixed(out, 2, &number.to_be_bytes()),
        HeaderValue::Short(number) => write_fixed(out, 3, &number.to_be_bytes()),
        HeaderValue::Integer(number) => write_fixed(out, 4, &number.to_be_bytes()),
        HeaderValue::Long(number) => write_fixed(out, 5, &number.to_be_bytes()),
        HeaderValue::Bytes(bytes) => write_sized(out, 6, bytes)?,
        HeaderValue::Text(text) => write_sized(out, 7, text.as_bytes())?,
        HeaderValue::Timestamp(millis) => write_fixed(out, 8, &millis.to_be_bytes()),
        HeaderValue::Uuid(uuid) => write_fixed(out, 9, &uuid),
    }
    Some(())
}

fn write_fixed(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn write_sized(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> Option<()> {
    // The format's length is unsigned, but AWS's own readers take it as signed.
    let size = i16::try_from(bytes.len()).ok()?;
    out.push(kind);
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

fn length(bytes: [u8; 4]) -> usize {
    usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX)
}

fn shape(detail: &str) -> DecodeError {
    DecodeError::Shape {
        dialect: FORMAT,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;
