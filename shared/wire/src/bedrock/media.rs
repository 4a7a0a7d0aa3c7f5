//! Pictures, sounds and documents as bytes or as places in S3.
//!
//! Bedrock fetches no addresses but `s3://`; it wants a format in place of a media type, and for each document a name
//! of its own, of letters, digits, single spaces, hyphens, parentheses and brackets
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html>).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::blocks::{Media, MediaSource};
use super::cannot;
use crate::anthropic::source::{Located, located};
use crate::error::EncodeError;
use crate::gemini::base64;
use crate::model::Source;

/// Converse allows 200; the rest is for a number.
const NAME_CHARS_MAX: usize = 180;
const NAMELESS: &str = "document";

const IMAGES: [(&str, &str); 5] = [
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("image/jpg", "jpeg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
];

const SOUNDS: [(&str, &str); 14] = [
    ("audio/mpeg", "mp3"),
    ("audio/mp3", "mp3"),
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("audio/wave", "wav"),
    ("audio/flac", "flac"),
    ("audio/x-flac", "flac"),
    ("audio/aac", "aac"),
    ("audio/ogg", "ogg"),
    ("audio/opus", "opus"),
    ("audio/mp4", "m4a"),
    ("audio/m4a", "m4a"),
    ("audio/x-m4a", "m4a"),
    ("audio/webm", "webm"),
];

const DOCUMENTS: [(&str, &str); 9] = [
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
    ),
    ("application/vnd.ms-excel", "xls"),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xlsx",
    ),
    ("text/html", "html"),
    ("text/markdown", "md"),
    ("text/plain", "txt"),
];

/// A picture; `field` is its place in the request.
pub(super) fn image<'a>(source: &'a Source, field: &str) -> Result<Media<'a>, EncodeError> {
    let reason = "pictures must be PNG, JPEG, GIF or WebP";
    media(source, &IMAGES, field, reason)
}

/// A sound; `field` is its place in the request.
pub(super) fn audio<'a>(source: &'a Source, field: &str) -> Result<Media<'a>, EncodeError> {
    media(source, &SOUNDS, field, "the sound's type is not accepted")
}

fn media<'a>(
    source: &'a Source,
    formats: &[(&str, &'static str)],
    field: &str,
    reason: &str,
) -> Result<Media<'a>, EncodeError> {
    let (format, source) = match located(source) {
        Located::Base64 { media_type, data } => (format(formats, media_type), bytes(data, field)?),
        Located::Text(_) => return Err(cannot(field, reason)),
        other => {
            let uri = in_s3(&other, field)?;
            (by_ending(formats, uri), MediaSource::S3Location { uri })
        }
    };
    let format = format.ok_or_else(|| cannot(field, reason))?;
    Ok(Media { format, source })
}

/// A document's format and bytes; `field` is its place in the request.
pub(super) fn document<'a>(
    source: &'a Source,
    name: Option<&str>,
    field: &str,
) -> Result<(&'static str, MediaSource<'a>), EncodeError> {
    let named = || name.and_then(|name| by_ending(&DOCUMENTS, name));
    let (format, source) = match located(source) {
        Located::Base64 { media_type, data } => {
            let is_text = media_type.starts_with("text/") || media_type == "application/json";
            let format = format(&DOCUMENTS, media_type)
                .or_else(named)
                .or_else(|| is_text.then_some("txt"));
            (format, bytes(data, field)?)
        }
        Located::Text("") => return Err(cannot(field, "there is nothing in it")),
        Located::Text(text) => {
            let bytes = Cow::Owned(base64::encode(text.as_bytes()));
            (named().or(Some("txt")), MediaSource::Bytes(bytes))
        }
        other => {
            let uri = in_s3(&other, field)?;
            let format = by_ending(&DOCUMENTS, uri).or_else(named);
            (format, MediaSource::S3Location { uri })
        }
    };
    let format = format.ok_or_else(|| {
        cannot(
            field,
            "documents must be PDF, text, HTML, Markdown, CSV, Word or Excel",
        )
    })?;
    Ok((format, source))
}

fn in_s3<'a>(located: &Located<'a>, field: &str) -> Result<&'a str, EncodeError> {
    match located {
        Located::Url(url) | Located::File(url) if url.starts_with("s3://") => Ok(url),
        Located::Url(_) => Err(cannot(field, "bedrock fetches nothing but s3:// addresses")),
        Located::File(_) => Err(cannot(field, "the file was uploaded to another provider")),
        _ => Err(cannot(field, "the data: address is not base64")),
    }
}

fn bytes<'a>(data: &'a str, field: &str) -> Result<MediaSource<'a>, EncodeError> {
    if data.is_empty() {
        return Err(cannot(field, "there is nothing in it"));
    }
    Ok(MediaSource::Bytes(Cow::Borrowed(data)))
}

fn format(formats: &[(&str, &'static str)], media_type: &str) -> Option<&'static str> {
    let media_type = media_type.split(';').next().unwrap_or(media_type).trim();
    let known = formats
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(media_type))?;
    Some(known.1)
}

fn by_ending(formats: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    let ending = if ending.eq_ignore_ascii_case("jpg") {
        "jpeg"
    } else {
        ending
    };
    let known = formats
        .iter()
        .find(|(_, format)| format.eq_ignore_ascii_case(ending))?;
    Some(known.1)
}

/// The names of one request's documents.
#[derive(Debug, Default)]
pub(super) struct DocumentNames {
    taken: BTreeSet<String>,
    /// The last number behind each name that was wanted more than once.
    last: BTreeMap<String, u32>,
}

impl DocumentNames {
    /// A legal name that no other document has, and whether it says less than the given one. The format's ending is
    /// left out: the format says it.
    pub(super) fn name(&mut self, given: Option<&str>) -> (String, bool) {
        let given = given.unwrap_or(NAMELESS);
        let stem = match given.rsplit_once('.') {
            Some((stem, _)) if by_ending(&DOCUMENTS, given).is_some() => stem,
            _ => given,
        };
        let legal = legal(stem);
        let mut name = legal.clone();
        while !self.taken.insert(name.clone()) {
            let number = self.last.entry(legal.clone()).or_insert(1);
            *number = number.saturating_add(1);
            name = format!("{legal} ({number})");
        }
        (name, legal != stem)
    }
}

fn legal(stem: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || "-()[]".contains(c);
    let spaced: String = stem
        .chars()
        .map(|c| match c {
            c if kept(c) => c,
            c if c.is_whitespace() => ' ',
            _ => '-',
        })
        .collect();
    let words: Vec<&str> = spaced.split(' ').filter(|word| !word.is_empty()).collect();
    let legal: String = words.join(" ").chars().take(NAME_CHARS_MAX).collect();
    let legal = legal.trim_end();
    if legal.is_empty() {
        NAMELESS.to_owned()
    } else {
        legal.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_has_a_legal_name_of_its_own() {
        let mut names = DocumentNames::default();
        for (given, expected, is_changed) in [
            (Some("Q3 report.pdf"), "Q3 report", false),
            (Some("Q3 report.docx"), "Q3 report (2)", false),
            (Some("a_b.c"), "a-b-c", true),
            (Some("  two\t\nspaces "), "two spaces", true),
            (None, "document", false),
            (Some(""), "document (2)", true),
            (Some("…"), "-", true),
        ] {
            let expected = (expected.to_owned(), is_changed);
            assert_eq!(names.name(given), expected, "{given:?}");
        }
        assert!(names.name(Some(&"x".repeat(400))).0.len() <= 200);
    }

    #[test]
    fn a_name_that_all_documents_share_is_numbered_at_once() {
        let mut names = DocumentNames::default();
        // With a search from the first number for each, this would take longer than anybody waits.
        let count = 100_000;
        let last = (0..count).map(|_| names.name(Some("a.pdf")).0).last();
        assert_eq!(last, Some(format!("a ({count})")));
    }
}
