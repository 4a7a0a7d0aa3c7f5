//! Pictures and documents: from where the caller keeps them to how Messages takes them.

use std::borrow::Cow;

use super::blocks::WireSource;
use super::cannot;
use crate::error::EncodeError;
use crate::model::Source;

const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
const PDF: &str = "application/pdf";
const PLAIN: &str = "text/plain";

/// A picture; `field` is its place in the request.
pub(super) fn image<'a>(source: &'a Source, field: &str) -> Result<WireSource<'a>, EncodeError> {
    match located(source) {
        Located::Base64 { media_type, data } => {
            // `image/jpg` is what many callers write; the registered name is `image/jpeg`.
            let media_type = if media_type == "image/jpg" {
                "image/jpeg"
            } else {
                media_type
            };
            if IMAGE_TYPES.contains(&media_type) {
                Ok(WireSource::Base64 { media_type, data })
            } else {
                Err(cannot(field, "pictures must be JPEG, PNG, GIF or WebP"))
            }
        }
        Located::Url(url) => Ok(WireSource::Url { url }),
        Located::File(file_id) => Ok(WireSource::File { file_id }),
        Located::Text(_) => Err(cannot(field, "text is not a picture")),
        Located::Unreadable => Err(cannot(field, "the data: address is not base64")),
    }
}

/// A document; `field` is its place in the request.
pub(super) fn document<'a>(source: &'a Source, field: &str) -> Result<WireSource<'a>, EncodeError> {
    match located(source) {
        Located::Base64 { media_type, data } if media_type == PDF => {
            Ok(WireSource::Base64 { media_type, data })
        }
        Located::Base64 { media_type, data } if media_type.starts_with("text/") => {
            let text = decode_base64(data)
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| cannot(field, "the document is not base64 of UTF-8 text"))?;
            Ok(text_source(Cow::Owned(text)))
        }
        Located::Base64 { .. } => Err(cannot(field, "documents must be PDF or text")),
        Located::Url(url) => Ok(WireSource::Url { url }),
        Located::File(file_id) => Ok(WireSource::File { file_id }),
        Located::Text(text) => Ok(text_source(Cow::Borrowed(text))),
        Located::Unreadable => Err(cannot(field, "the data: address is not base64")),
    }
}

const fn text_source(data: Cow<'_, str>) -> WireSource<'_> {
    WireSource::Text {
        media_type: PLAIN,
        data,
    }
}

/// Where a picture or document is, a `data:` address being taken apart.
pub(crate) enum Located<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url(&'a str),
    File(&'a str),
    Text(&'a str),
    Unreadable,
}

/// Takes a source apart.
pub(crate) fn located(source: &Source) -> Located<'_> {
    match source {
        Source::Base64 { media_type, data } => Located::Base64 { media_type, data },
        Source::FileId(id) => Located::File(id),
        Source::Text(text) => Located::Text(text),
        Source::Url(url) => url
            .strip_prefix("data:")
            .map_or(Located::Url(url), data_address),
    }
}

/// RFC 2397, of which only base64 is understood; parameters such as `charset` are left out.
fn data_address(rest: &str) -> Located<'_> {
    let Some((head, data)) = rest.split_once(',') else {
        return Located::Unreadable;
    };
    let Some(head) = head.strip_suffix(";base64") else {
        return Located::Unreadable;
    };
    let media_type = head.split(';').next().unwrap_or(head);
    Located::Base64 { media_type, data }
}

/// RFC 4648 §4; padding may be missing, line breaks may not be there.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(text.len());
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            let value = group.get(place).map_or(Some(0), |byte| sextet(*byte))?;
            bits = (bits << 6) | value;
        }
        let [_, first, second, third] = bits.to_be_bytes();
        match group.len() {
            4 => out.extend([first, second, third]),
            3 => out.extend([first, second]),
            2 => out.push(first),
            _ => return None,
        }
    }
    Some(out)
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte.wrapping_sub(b'A'),
        b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        for (text, expected) in [
            ("", Some("")),
            ("TQ==", Some("M")),
            ("TWE=", Some("Ma")),
            ("TWFu", Some("Man")),
            ("TWFuTQ", Some("ManM")),
            ("T", None),
            ("TW\nFu", None),
            ("_-==", None),
        ] {
            assert_eq!(
                decode_base64(text).as_deref(),
                expected.map(str::as_bytes),
                "{text:?}"
            );
        }
    }
}
