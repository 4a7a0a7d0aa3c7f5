//! Citations of addresses, from the words of any dialect to those of OpenAI and Gemini.
//!
//! The neutral model keeps an annotation in the shape of the dialect that it came from. What cites an address can be said
//! elsewhere too: which part of the text, under which title, where. OpenAI counts characters, Gemini bytes.
//! A citation without a place in the text (Anthropic's, Bedrock's) is one of the whole part.
//! What cites a document of the request has no counterpart in another dialect.

use sluice_units::SortedMap;

use std::ops::Range;

use serde_json::{Map, Value, json};

/// The most text that is kept for finding places in it, in bytes. Citations beyond it are of whole parts.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The one annotation that Chat Completions know, and the field that holds it.
const CHAT: &str = "url_citation";

/// A citation of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Citation {
    /// What part of the text, in bytes.
    pub(crate) range: Range<usize>,
    pub(crate) title: String,
    pub(crate) url: String,
}

/// The citations of addresses in an annotation of this text; none when it cites none.
pub(crate) fn of(annotation: &Value, text: &str) -> Vec<Citation> {
    let whole = 0..text.len();
    if let Some(grounding) = annotation.get("groundingMetadata") {
        return grounded(grounding, &whole);
    }
    if let Some(metadata) = annotation.get("citationMetadata") {
        // The Gemini API's name, then Vertex AI's.
        let sources = array(metadata, "citationSources").chain(array(metadata, "citations"));
        return sources
            .filter_map(|source| {
                let range = index(source, "startIndex")..bound(source, "endIndex", whole.end);
                citation(source, range, &["uri"])
            })
            .collect();
    }
    if let Some(sources) = annotation.get("sources").and_then(Value::as_array) {
        let range = characters(annotation, "start", "end", text);
        let documents = sources.iter().filter_map(|source| source.get("document"));
        return documents
            .filter_map(|document| citation(document, range.clone(), &["url"]))
            .collect();
    }
    let found = match annotation.get("type").and_then(Value::as_str) {
        Some(CHAT) => {
            let fields = annotation.get(CHAT).unwrap_or(annotation);
            let range = characters(fields, "start_index", "end_index", text);
            citation(fields, range, &["url"])
        }
        Some(_) => citation(annotation, whole, &["url", "source"]),
        // Bedrock's: the title stands beside the place.
        None => annotation
            .pointer("/location/web")
            .and_then(|web| citation(web, whole, &["url"]))
            .map(|citation| Citation {
                title: string(annotation, "title"),
                ..citation
            }),
    };
    found.into_iter().collect()
}

/// Gemini's: supports, each a part of the text and the chunks that it stands on.
fn grounded(grounding: &Value, whole: &Range<usize>) -> Vec<Citation> {
    let chunk = |chunk: &Value, range: Range<usize>| {
        let kinds = ["web", "retrievedContext", "maps"];
        let found = kinds.iter().find_map(|kind| chunk.get(kind))?;
        citation(found, range, &["uri"])
    };
    let chunks: Vec<&Value> = array(grounding, "groundingChunks").collect();
    let mut found: Vec<Citation> = Vec::new();
    for support in array(grounding, "groundingSupports") {
        let segment = support.get("segment").unwrap_or(&Value::Null);
        let range = index(segment, "startIndex")..bound(segment, "endIndex", whole.end);
        let numbers = array(support, "groundingChunkIndices").filter_map(Value::as_u64);
        let cited = numbers.filter_map(|number| chunks.get(usize::try_from(number).ok()?));
        found.extend(cited.filter_map(|cited| chunk(cited, range.clone())));
    }
    if found.is_empty() {
        found.extend(
            chunks
                .iter()
                .filter_map(|cited| chunk(cited, whole.clone())),
        );
    }
    found
}

fn citation(fields: &Value, range: Range<usize>, keys: &[&str]) -> Option<Citation> {
    let mut places = keys.iter().filter_map(|key| fields.get(key)?.as_str());
    let url = places.find(|place| place.starts_with("http://") || place.starts_with("https://"))?;
    Some(Citation {
        range,
        title: string(fields, "title"),
        url: url.to_owned(),
    })
}

fn string(fields: &Value, key: &str) -> String {
    let text = fields.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn array<'a>(fields: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    fields
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn index(fields: &Value, key: &str) -> usize {
    bound(fields, key, 0)
}

fn bound(fields: &Value, key: &str, absent: usize) -> usize {
    let found = fields.get(key).and_then(Value::as_u64);
    found
        .and_then(|found| usize::try_from(found).ok())
        .unwrap_or(absent)
}

/// A range in characters, as one in bytes.
fn characters(fields: &Value, start: &str, end: &str, text: &str) -> Range<usize> {
    let place = |count: usize| {
        let mut borders = text.char_indices().map(|(at, _)| at);
        borders.nth(count).unwrap_or(text.len())
    };
    place(index(fields, start))..place(bound(fields, end, usize::MAX))
}

/// So many characters come before this place.
fn before(text: &str, place: usize) -> usize {
    text.char_indices()
        .take_while(|(at, _)| *at < place)
        .count()
}

impl Citation {
    /// In Chat Completions' and Responses' fields; the places count from the beginning of the text.
    pub(crate) fn fields(&self, text: &str) -> Map<String, Value> {
        let fields: [(&str, Value); 4] = [
            ("url", self.url.as_str().into()),
            ("title", self.title.as_str().into()),
            ("start_index", before(text, self.range.start).into()),
            ("end_index", before(text, self.range.end).into()),
        ];
        fields
            .map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect()
    }

    fn within(mut self, start: usize) -> Self {
        self.range.start = self.range.start.saturating_add(start);
        self.range.end = self.range.end.saturating_add(start);
        self
    }
}

/// Gemini's grounding: what was cited, and what stands on it.
pub(crate) fn grounding(citations: &[Citation], text: &str) -> Value {
    let (mut chunks, mut supports) = (Vec::new(), Vec::new());
    for citation in citations {
        let mut segment = Map::new();
        if citation.range.start > 0 {
            segment.insert("startIndex".to_owned(), citation.range.start.into());
        }
        segment.insert("endIndex".to_owned(), citation.range.end.into());
        if let Some(cited) = text.get(citation.range.clone()) {
            segment.insert("text".to_owned(), cited.into());
        }
        supports.push(json!({"segment": segment, "groundingChunkIndices": [chunks.len()]}));
        chunks.push(json!({"web": {"uri": citation.url, "title": citation.title}}));
    }
    json!({"groundingChunks": chunks, "groundingSupports": supports})
}

/// The text of an answer that grows, and what is cited in it.
#[derive(Debug, Default)]
pub(crate) struct Cited {
    text: String,
    parts: SortedMap<u32, Range<usize>>,
    found: Vec<(u32, Value)>,
}

impl Cited {
    /// More text of a part.
    pub(crate) fn append(&mut self, part: u32, more: &str) {
        if self.text.len().saturating_add(more.len()) > TEXT_BYTES_MAX {
            return;
        }
        let start = self.text.len();
        self.text.push_str(more);
        let range = self.parts.get_or_insert(part, start..start);
        range.end = self.text.len();
    }

    /// An annotation of a part; the flag says that it cites an address.
    pub(crate) fn annotate(&mut self, part: u32, annotation: &Value) -> bool {
        let cites = !of(annotation, "").is_empty();
        if cites {
            self.found.push((part, annotation.clone()));
        }
        cites
    }

    /// All citations, with their places in the whole text.
    pub(crate) fn citations(&self) -> Vec<Citation> {
        let found = self.found.iter();
        found
            .flat_map(|(part, annotation)| self.cites(*part, annotation))
            .collect()
    }

    /// All citations as Chat Completions write them; what came in that shape stays as it is.
    pub(crate) fn for_chat(&self) -> Vec<Value> {
        let mut written = Vec::new();
        for (part, annotation) in &self.found {
            let whole = |fields: &Value| {
                let is_number = |key| fields.get(key).is_some_and(Value::is_u64);
                let is_text = |key| fields.get(key).is_some_and(Value::is_string);
                is_number("start_index")
                    && is_number("end_index")
                    && is_text("title")
                    && is_text("url")
            };
            if annotation.get(CHAT).is_some_and(whole) {
                written.push(annotation.clone());
                continue;
            }
            let citations = self.cites(*part, annotation).into_iter();
            written.extend(
                citations.map(|citation| json!({"type": CHAT, CHAT: citation.fields(&self.text)})),
            );
        }
        written
    }

    fn cites(&self, part: u32, annotation: &Value) -> Vec<Citation> {
        // An annotation may stand on a part without a text, behind the text that it means.
        let last = self.parts.up_to(&part);
        let range = last.map_or(0..0, |(_, range)| range.clone());
        let text = self.text.get(range.clone()).unwrap_or_default();
        let found = of(annotation, text).into_iter();
        found.map(|citation| citation.within(range.start)).collect()
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Ålesund" is seven characters and eight bytes.
    const TEXT: &str = "Ålesund is cold.";

    #[test]
    fn every_dialects_citations_of_addresses_are_understood() {
        let url = "https://example.com/a";
        let chunk = json!({"web": {"uri": url, "title": "Log"}});
        for (annotation, expected) in [
            (
                json!({"type": "url_citation", "start_index": 0, "end_index": 7, "title": "Log", "url": url}),
                0..8,
            ),
            (
                json!({"type": "url_citation", "url_citation": {"start_index": 8, "end_index": 99, "title": "Log", "url": url}}),
                9..17,
            ),
            (
                json!({"type": "web_search_result_location", "cited_text": "x", "encrypted_index": "", "title": "Log", "url": url}),
                0..17,
            ),
            (
                json!({"type": "search_result_location", "cited_text": "x", "source": url, "title": "Log"}),
                0..17,
            ),
            (
                json!({"title": "Log", "location": {"web": {"url": url}}}),
                0..17,
            ),
            (
                json!({"start": 0, "end": 7, "text": "Ålesund", "sources": [{"type": "document", "document": {"title": "Log", "url": url}}]}),
                0..8,
            ),
            (
                json!({"groundingMetadata": {"groundingChunks": [chunk], "groundingSupports": [{"segment": {"endIndex": 8}, "groundingChunkIndices": [0, 7]}]}}),
                0..8,
            ),
            (
                json!({"groundingMetadata": {"groundingChunks": [chunk]}}),
                0..17,
            ),
            (
                json!({"citationMetadata": {"citationSources": [{"startIndex": 9, "endIndex": 11, "uri": url, "title": "Log"}]}}),
                9..11,
            ),
        ] {
            let citation = Citation {
                range: expected,
                title: "Log".to_owned(),
                url: url.to_owned(),
            };
            assert_eq!(of(&annotation, TEXT), [citation], "{annotation}");
        }
        for other in [
            json!({"type": "file_citation", "file_id": "f", "index": 1}),
            json!({"type": "char_location", "cited_text": "x", "document_index": 0}),
            json!({"type": "search_result_location", "source": "notes"}),
            json!({"executableCode": {"code": "1"}}),
            json!({"sources": [{"type": "tool"}]}),
        ] {
            assert_eq!(of(&other, TEXT), [], "{other}");
        }
    }

    #[test]
    fn places_are_counted_from_the_beginning_of_the_answer() {
        let mut cited = Cited::default();
        let annotation = json!({"type": "web_search_result_location", "title": "Log", "url": "https://example.com/a"});
        cited.append(0, "Å: ");
        cited.append(1, "cold");
        assert!(cited.annotate(1, &annotation));
        cited.append(1, "er.");
        cited.append(2, " Or not.");
        let [citation] = cited.citations().try_into().unwrap();
        let fields = citation.fields(cited.text());
        assert_eq!(
            (&fields["start_index"], &fields["end_index"]),
            (&json!(3), &json!(10))
        );
        let grounding = grounding(&[citation], cited.text());
        let segment = json!({"startIndex": 4, "endIndex": 11, "text": "colder."});
        assert_eq!(grounding["groundingSupports"][0]["segment"], segment);
    }
}
