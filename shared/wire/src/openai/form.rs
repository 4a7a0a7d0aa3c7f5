//! A `multipart/form-data` body on its way to a provider, of which the model's name is read and replaced.
//!
//! A recording may be larger than the gateway's memory: what was looked at goes on, and only what was not is held.
//! All of it is looked at, for a second model that the limits do not know of. A file that the provider keeps gets a
//! mark before its name instead. Follows RFC 7578 and RFC 2046 §5.1.1.

use std::ops::Range;

use crate::error::Malformed;

/// The field that names the model.
const MODEL: &str = "model";
/// The field that holds a file which the provider keeps.
const FILE: &str = "file";
/// The longest boundary, as RFC 2046 has it.
const BOUNDARY_BYTES_MAX: usize = 70;
/// The longest head of a part.
const HEAD_BYTES_MAX: usize = 4_096;
/// The most parts that are looked at.
const PARTS_MAX: usize = 64;
/// The longest text of a field.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A form on its way: what was looked at may go on, what was not is held.
#[derive(Debug)]
pub struct Form {
    /// `\r\n--` and the boundary.
    delimiter: Vec<u8>,
    held: Vec<u8>,
    /// How many bytes of `held` the caller did not send.
    own: usize,
    place: Place,
    fields: Vec<(String, Range<usize>)>,
    names_model: bool,
    parts: usize,
    /// What is put before the name of a file that is kept.
    mark: Option<String>,
    /// Where it goes.
    mark_at: Option<usize>,
}

/// Where the reader stands in what is held.
#[derive(Debug)]
enum Place {
    /// A delimiter and the head of a part come next, from here.
    Between(usize),
    /// In a part's content, which was searched for its end up to here.
    In { part: Part, searched: usize },
    /// Behind the last part.
    Over,
}

#[derive(Debug)]
struct Part {
    name: String,
    is_file: bool,
    /// Where its content begins; 0 when that is no longer held.
    start: usize,
}

impl Form {
    /// A form of this `content-type`.
    ///
    /// # Errors
    /// [`Malformed`] when it is not one of forms, or has no usable boundary.
    pub fn new(content_type: &str) -> Result<Self, Malformed> {
        let boundary = boundary(content_type).ok_or_else(|| Malformed {
            code: "invalid_content_type",
            message: "This address takes multipart/form-data with a boundary.".to_owned(),
            param: None,
        })?;
        Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first delimiter has no line before it.
            held: b"\r\n".to_vec(),
            own: 2,
            place: Place::Between(0),
            fields: Vec::new(),
            names_model: false,
            parts: 0,
            mark: None,
            mark_at: None,
        })
    }

    /// Puts a mark before the name of the file, which the provider keeps.
    #[must_use]
    pub fn marked(self, mark: String) -> Self {
        Self {
            mark: Some(mark),
            ..self
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Malformed`] when they are no form, or name a second model.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.held.extend_from_slice(bytes);
        loop {
            let goes_on = match self.place {
                Place::Between(at) => self.head(at)?,
                Place::In { searched, .. } => self.content(searched)?,
                Place::Over => false,
            };
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// [`Malformed`] when the form is not complete.
    pub fn finish(&self) -> Result<(), Malformed> {
        match self.place {
            Place::Over => Ok(()),
            _ => Err(broken("it ends before its last boundary")),
        }
    }

    /// How many bytes are held.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held.len().saturating_sub(self.own)
    }

    /// A field that was read whole, is text, and is still held.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, range) = self.fields.iter().find(|(field, _)| field == name)?;
        std::str::from_utf8(self.held.get(range.clone())?).ok()
    }

    /// Lets go of what was looked at: with another name for the model where that is among it and there is one, and with
    /// the mark.
    pub fn release(&mut self, model: Option<&str>) -> Vec<u8> {
        let cut = match self.place {
            Place::Between(at) => at,
            Place::In { searched, .. } => searched,
            Place::Over => self.held.len(),
        };
        let mut out = Vec::with_capacity(cut);
        let mut from = self.own;
        let named = self.fields.iter().find(|(field, _)| field == MODEL);
        let named = named.map(|(_, range)| range.clone());
        let marked = self.mark_at.take().map(|at| at..at);
        // No form has both: a file that is kept has no model.
        let edits = [named.zip(model), marked.zip(self.mark.as_deref())];
        for (range, text) in edits.into_iter().flatten() {
            out.extend_from_slice(self.held.get(from..range.start).unwrap_or_default());
            out.extend_from_slice(text.as_bytes());
            from = range.end;
        }
        out.extend_from_slice(self.held.get(from..cut).unwrap_or_default());
        self.held.drain(..cut.min(self.held.len()));
        self.own = self.own.saturating_sub(cut);
        self.fields.clear();
        match &mut self.place {
            Place::Between(at) => *at = 0,
            Place::In { part, searched } => {
                part.start = part.start.saturating_sub(cut);
                *searched = 0;
            }
            Place::Over => {}
        }
        out
    }

    /// Reads a delimiter and the head of a part, if all of it is there.
    fn head(&mut self, at: usize) -> Result<bool, Malformed> {
        let rest = self.held.get(at..).unwrap_or_default();
        let opening = self.delimiter.len().saturating_add(2);
        let Some(opened) = rest.get(..opening) else {
            let may_be = self.delimiter.starts_with(rest) || rest.starts_with(&self.delimiter);
            return if may_be {
                Ok(false)
            } else {
                Err(no_boundary())
            };
        };
        match opened.strip_prefix(self.delimiter.as_slice()) {
            Some(b"\r\n") => {}
            Some(b"--") => {
                self.place = Place::Over;
                return Ok(false);
            }
            _ => return Err(no_boundary()),
        }
        let after = rest.get(opening..).unwrap_or_default();
        let Some(length) = memchr::memmem::find(after, b"\r\n\r\n") else {
            return if after.len() > HEAD_BYTES_MAX {
                Err(broken("the head of a part is too long"))
            } else {
                Ok(false)
            };
        };
        let head = after.get(..length).unwrap_or_default();
        let (name, is_file) = disposition(head)?;
        if name == FILE && self.mark.is_some() {
            let before = at.saturating_add(opening);
            let marked_at = filename_at(head).map(|offset| before.saturating_add(offset));
            self.mark_at = self.mark_at.or(marked_at);
        }
        self.parts = self.parts.saturating_add(1);
        if self.parts > PARTS_MAX {
            return Err(broken("it has too many parts"));
        }
        if name == MODEL && std::mem::replace(&mut self.names_model, true) {
            return Err(broken("'model' is given twice"));
        }
        let start = [at, opening, length, 4]
            .iter()
            .fold(0, |sum: usize, more| sum.saturating_add(*more));
        self.place = Place::In {
            part: Part {
                name,
                is_file,
                start,
            },
            // The delimiter of a part without content begins in its head's last line.
            searched: start.saturating_sub(2),
        };
        Ok(true)
    }

    /// Reads a part's content up to its end, if that is there.
    fn content(&mut self, from: usize) -> Result<bool, Malformed> {
        let Place::In { part, searched } = &mut self.place else {
            return Ok(false);
        };
        let rest = self.held.get(from..).unwrap_or_default();
        let Some(found) = memchr::memmem::find(rest, &self.delimiter) else {
            if !part.is_file && self.held.len().saturating_sub(part.start) > TEXT_BYTES_MAX {
                return Err(broken("a field's text is too long"));
            }
            // The last bytes may be a delimiter's first ones. A field is let go of when it is whole.
            let seen = self.held.len().saturating_sub(self.delimiter.len());
            if part.is_file {
                *searched = seen.max(from);
            }
            return Ok(false);
        };
        let end = from.saturating_add(found);
        if !part.is_file {
            let range = part.start.min(end)..end;
            self.fields.push((std::mem::take(&mut part.name), range));
        }
        self.place = Place::Between(end);
        Ok(true)
    }
}

fn no_boundary() -> Malformed {
    broken("a part does not begin with the boundary")
}

fn broken(what: &str) -> Malformed {
    Malformed {
        code: "invalid_form",
        message: format!("The body is not valid multipart/form-data: {what}."),
        param: None,
    }
}

fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"'))
    })?;
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    let fits = !boundary.is_empty() && boundary.len() <= BOUNDARY_BYTES_MAX;
    (fits && boundary.bytes().all(is_legal)).then_some(boundary)
}

/// A part's name, and whether it is a file.
fn disposition(head: &[u8]) -> Result<(String, bool), Malformed> {
    let head = std::str::from_utf8(head).map_err(|_| broken("the head of a part is not UTF-8"))?;
    let line = head
        .split("\r\n")
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim()
                .eq_ignore_ascii_case("content-disposition")
                .then_some(value)
        })
        .ok_or_else(|| broken("a part has no content-disposition"))?;
    let parameters = |wanted: &'static str| {
        line.split(';').filter_map(move |parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case(wanted)
                .then(|| value.trim().trim_matches('"'))
        })
    };
    let is_file = parameters("filename")
        .chain(parameters("filename*"))
        .count()
        > 0;
    let mut names = parameters("name").chain(parameters("name*"));
    match (names.next(), names.next()) {
        (Some(name), None) => Ok((name.to_owned(), is_file)),
        (None, _) => Err(broken("a part has no name")),
        // Readers differ in which one they take.
        (Some(_), Some(_)) => Err(broken("a part has two names")),
    }
}

/// Where in a part's head the file's name begins.
fn filename_at(head: &[u8]) -> Option<usize> {
    const PARAMETER: &[u8] = b"filename=";
    let found = head
        .windows(PARAMETER.len())
        .position(|window| window.eq_ignore_ascii_case(PARAMETER))?;
    let at = found.saturating_add(PARAMETER.len());
    let quote = usize::from(head.get(at) == Some(&b'"'));
    Some(at.saturating_add(quote))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x-1\"";

    fn body(parts: &[(&str, &str)]) -> String {
        let mut body = String::new();
        for (disposition, content) in parts {
            body += &format!(
                "--x-1\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n"
            );
        }
        body + "--x-1--\r\n"
    }

    fn read(body: &[u8], cut: usize) -> Result<Form, Malformed> {
        let mut form = Form::new(TYPE)?;
        let (head, tail) = body.split_at(cut.min(body.len()));
        form.push(head)?;
        form.push(tail)?;
        form.finish()?;
        Ok(form)
    }

    const FILE: &str = "name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg";

    #[test]
    fn the_model_is_found_and_replaced_however_the_body_is_cut() {
        let body = body(&[
            (FILE, "\r\n--x-2 not the end\r\n"),
            ("name=\"empty\"", ""),
            ("name=\"model\"", "whisper"),
            ("name=\"language\"", "de"),
        ]);
        for cut in 0..=body.len() {
            let mut form = read(body.as_bytes(), cut).unwrap();
            assert_eq!(form.text("model"), Some("whisper"), "cut at {cut}");
            assert_eq!(form.text("empty"), Some(""));
            assert_eq!(form.text("file"), None);
            let sent = String::from_utf8(form.release(Some("openai/w-2"))).unwrap();
            assert_eq!(sent, body.replace("whisper", "openai/w-2"));
            assert_eq!(form.held_bytes(), 0);
        }
    }

    #[test]
    fn what_was_looked_at_goes_on_and_is_not_held() {
        let recording = "0123456789\r\n--x".repeat(1_000);
        let whole = body(&[
            ("name=\"model\"", "m"),
            (FILE, &recording),
            ("name=\"language\"", "de"),
        ]);
        let mut form = Form::new(TYPE).unwrap();
        let mut sent = Vec::new();
        for piece in whole.as_bytes().chunks(37) {
            form.push(piece).unwrap();
            sent.extend(form.release(Some("m")));
            assert!(form.held_bytes() < 200, "{}", form.held_bytes());
        }
        form.finish().unwrap();
        sent.extend(form.release(Some("m")));
        assert_eq!(String::from_utf8(sent).unwrap(), whole);
    }

    #[test]
    fn a_kept_file_gets_a_mark_before_its_name_however_the_body_is_cut() {
        let body = body(&[
            ("name=\"purpose\"", "batch"),
            ("name=\"model\"", "stays"),
            (FILE, "{}"),
        ]);
        for cut in 0..=body.len() {
            let mut form = Form::new(TYPE).unwrap().marked("acme-".to_owned());
            let (head, tail) = body.as_bytes().split_at(cut);
            form.push(head).unwrap();
            let mut sent = form.release(None);
            form.push(tail).unwrap();
            form.finish().unwrap();
            sent.extend(form.release(None));
            let sent = String::from_utf8(sent).unwrap();
            assert_eq!(sent, body.replace("a.mp3", "acme-a.mp3"), "cut at {cut}");
        }
    }

    #[test]
    fn a_second_model_is_refused_wherever_it_stands() {
        let whole = body(&[
            ("name=\"model\"", "cheap"),
            (FILE, "0123456789"),
            ("name=\"model\"", "dear"),
        ]);
        let mut form = Form::new(TYPE).unwrap();
        let mut outcome = Ok(());
        for piece in whole.as_bytes().chunks(11) {
            outcome = outcome.and_then(|()| form.push(piece));
            form.release(Some("cheap"));
        }
        assert_eq!(outcome.unwrap_err().code, "invalid_form");
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for content_type in [
            "application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=a b",
        ] {
            assert_eq!(
                Form::new(content_type).unwrap_err().code,
                "invalid_content_type"
            );
        }
        for body in [
            "hello, this is not a form at all",
            "--x-1xx",
            "--x-1\r\nA: b\r\n\r\nc\r\n--x-1--",
        ] {
            assert_eq!(
                read(body.as_bytes(), 3).unwrap_err().code,
                "invalid_form",
                "{body}"
            );
        }
        let cut_short = body(&[("name=\"model\"", "a")]);
        let cut_short = &cut_short.as_bytes()[..cut_short.len() - 5];
        assert_eq!(read(cut_short, 0).unwrap_err().code, "invalid_form");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let mut form = Form::new(TYPE).unwrap();
            let _ = form.push(b"--x-1\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n");
            for piece in pieces {
                let _ = form.push(&piece);
                form.release(Some("m"));
            }
        }
    }
}
