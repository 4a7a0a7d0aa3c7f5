//! Whether what a caller got is well-formed, whatever the provider did, and what it says.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// How a request ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The answer was complete, or said that it failed.
    Whole,
    /// The caller left, or the isolate died: anything may be missing at the end.
    Cut,
}

/// What a caller understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Understood {
    /// The model's words.
    pub(crate) text: String,
    /// The answer is complete.
    pub(crate) is_complete: bool,
    /// It stopped because it was long enough: providers here never do that.
    pub(crate) is_cut_short: bool,
    /// The code of the error, if there was one.
    pub(crate) error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Chunk<'a> {
    #[serde(default)]
    object: Option<&'a str>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    data: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    error: Option<ErrorBody>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Message>,
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    message: String,
    code: Option<String>,
}

fn read(text: &[u8]) -> Result<Chunk<'_>, String> {
    serde_json::from_slice(text)
        .map_err(|error| format!("{error} in {}", String::from_utf8_lossy(text)))
}

/// Reads what an administrator is told would become of a request.
pub(crate) fn explained(body: &[u8]) -> Result<Understood, String> {
    let told: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let would = &told["would"];
    let error = would["be_refused"]["code"].as_str().map(str::to_owned);
    if error.is_none() && *would != "be_served" {
        return Err(format!("nothing is said of what would be: {told}"));
    }
    Ok(Understood {
        error,
        ..Understood::default()
    })
}

/// Reads a whole answer.
pub(crate) fn whole(status: u16, body: &[u8]) -> Result<Understood, String> {
    let chunk = read(body)?;
    if status != 200 {
        let error = chunk.error.ok_or("an error without an error")?;
        if error.message.is_empty() {
            return Err("an error without a message".to_owned());
        }
        return Ok(Understood {
            error: Some(error.code.ok_or("an error without a code")?),
            ..Understood::default()
        });
    }
    let message = |choice: &Choice| Some(choice.message.as_ref()?.content.clone());
    match (chunk.object, chunk.error) {
        (Some("list"), None) if chunk.data.is_some() => Ok(Understood {
            is_complete: true,
            ..Understood::default()
        }),
        (Some("chat.completion"), None) => {
            let text = chunk.choices.first().and_then(message);
            Ok(Understood {
                text: text
                    .ok_or("an answer without a message")?
                    .unwrap_or_default(),
                is_complete: true,
                ..Understood::default()
            })
        }
        other => Err(format!("not an answer: {other:?}")),
    }
}

/// Reads a stream.
pub(crate) fn stream(body: &[u8], end: End) -> Result<Understood, String> {
    let mut understood = Understood::default();
    let mut has_finish = false;
    let mut lines = Lines(body);
    while !lines.0.is_empty() {
        let Some(data) = lines.event() else {
            if end == End::Cut {
                return Ok(understood);
            }
            return Err("the stream ends within an event".to_owned());
        };
        if data.is_empty() {
            continue;
        }
        if understood.is_complete || understood.error.is_some() {
            return Err("something comes after the end".to_owned());
        }
        if data == b"[DONE]" {
            if !has_finish {
                return Err("done without a finish".to_owned());
            }
            understood.is_complete = true;
            continue;
        }
        let chunk = read(&data)?;
        if let Some(error) = chunk.error {
            understood.error = Some(error.code.unwrap_or_default());
            continue;
        }
        if chunk.object != Some("chat.completion.chunk") {
            return Err(format!("not a chunk: {}", String::from_utf8_lossy(&data)));
        }
        for choice in &chunk.choices {
            has_finish |= choice.finish_reason.is_some();
            understood.is_cut_short |= choice.finish_reason.as_deref() == Some("length");
            let content = choice
                .delta
                .as_ref()
                .and_then(|delta| delta.content.as_ref());
            understood.text.extend(content.map(String::as_str));
        }
    }
    if end == End::Whole && !understood.is_complete && understood.error.is_none() {
        return Err("the stream ends without an end".to_owned());
    }
    Ok(understood)
}

/// What is left of a stream. Lines end with CR, LF, or both (WHATWG HTML §9.2).
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    /// The next line, if it has an end.
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self
            .0
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))?;
        let (line, rest) = self.0.split_at(end);
        let both = rest.starts_with(b"\r\n");
        self.0 = &rest[if both { 2 } else { 1 }..];
        Some(line)
    }

    /// The data of the next event; `None` when the stream ends before it does.
    fn event(&mut self) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        while let Some(line) = self.line() {
            if line.is_empty() {
                return Some(data);
            }
            if let Some(value) = line.strip_prefix(b"data:") {
                if !data.is_empty() {
                    data.push(b'\n');
                }
                data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            }
            // All else is a comment, or a field that nobody knows.
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: &str = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n";
    const ERROR: &str = "data: {\"error\":{\"message\":\"No.\",\"code\":\"upstream_broken\"}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    fn check(text: &str, end: End, is_right: bool) {
        let read = stream(text.as_bytes(), end);
        assert_eq!(read.is_ok(), is_right, "{text}: {read:?}");
    }

    #[test]
    fn a_stream_ends_in_good_order_or_with_an_error() {
        check(&format!("{CHUNK}{DONE}: cost\n\n"), End::Whole, true);
        check(&format!("{CHUNK}{ERROR}"), End::Whole, true);
        check(CHUNK, End::Whole, false);
        check(CHUNK, End::Cut, true);
        check(&CHUNK[..20], End::Cut, true);
        check(&CHUNK[..20], End::Whole, false);
        check(DONE, End::Whole, false);
        check(&format!("{CHUNK}{DONE}{CHUNK}"), End::Whole, false);
        check(&format!("{CHUNK}{ERROR}{DONE}"), End::Whole, false);
        check("data: nonsense\n\n", End::Cut, false);
        check("nonsense\n\n", End::Cut, true);
    }

    #[test]
    fn a_whole_answer_says_what_it_is() {
        let answer = r#"{"object":"chat.completion","choices":[{"message":{"content":"Hi"}}]}"#;
        assert_eq!(whole(200, answer.as_bytes()).unwrap().text, "Hi");
        assert!(whole(200, b"{}").is_err());
        assert!(whole(500, b"{}").is_err());
        let error = r#"{"error":{"message":"No.","code":"x"}}"#;
        assert!(whole(500, error.as_bytes()).is_ok());
        assert!(whole(200, error.as_bytes()).is_err());
    }
}
