//! The JSON shapes of a Converse request, borrowed from the neutral model.

use std::borrow::Cow;

use serde::Serialize as SerializeDerive;
use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde_json::{Map, Number, Value};

use crate::Drops;
use crate::anthropic::blocks::Input;
use crate::model::CacheMark;

/// The most prompt-cache marks of one request (by the page on prompt caching).
const MARKS_MAX: usize = 4;

/// The whole body.
#[derive(Debug, SerializeDerive)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    #[serde(skip_serializing_if = "Content::is_empty")]
    pub(super) system: Content<'a>,
    pub(super) messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "InferenceConfig::is_empty")]
    pub(super) inference_config: InferenceConfig<'a>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    pub(super) output_config: OutputConfig<'a>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) additional_model_request_fields: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) request_metadata: Map<String, Value>,
    /// What only Bedrock can say, as the caller wrote it.
    #[serde(flatten)]
    pub(super) own: Map<String, Value>,
}

/// One turn.
#[derive(Debug, SerializeDerive)]
pub(super) struct Turn<'a> {
    pub(super) role: TurnRole,
    pub(super) content: Content<'a>,
    /// The number of the last message that went into it, for reports.
    #[serde(skip)]
    pub(super) from: usize,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SerializeDerive)]
#[serde(rename_all = "lowercase")]
pub(super) enum TurnRole {
    User,
    Assistant,
}

/// Blocks, and the cache points that follow some of them.
#[derive(Debug, Default)]
pub(super) struct Content<'a>(pub(super) Vec<Entry<'a>>);

/// A block with the caller's prompt-cache mark after it.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) block: Block<'a>,
    pub(super) cache: Option<CacheMark>,
}

impl Content<'_> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for entry in &self.0 {
            list.serialize_element(&entry.block)?;
            if let Some(mark) = entry.cache {
                list.serialize_element(&Block::cache_point(mark))?;
            }
        }
        list.end()
    }
}

/// One content block.
#[derive(Debug, SerializeDerive)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Block<'a> {
    Text(Cow<'a, str>),
    Image(Media<'a>),
    Audio(Media<'a>),
    Document {
        format: &'static str,
        name: String,
        source: MediaSource<'a>,
    },
    ToolUse {
        tool_use_id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Input<'a>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Self>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
    },
    ReasoningContent(Thought<'a>),
    CitationsContent {
        content: Vec<Self>,
        citations: Vec<Value>,
    },
    CachePoint(CachePoint),
}

impl Block<'_> {
    const fn cache_point(mark: CacheMark) -> Self {
        Self::CachePoint(CachePoint::new(mark))
    }

    /// The block is the model's reasoning, open or not.
    pub(super) const fn is_thought(&self) -> bool {
        matches!(self, Self::ReasoningContent(_))
    }
}

/// A picture or sound.
#[derive(Debug, SerializeDerive)]
pub(super) struct Media<'a> {
    pub(super) format: &'static str,
    pub(super) source: MediaSource<'a>,
}

/// Where a picture, sound or document is.
#[derive(Debug, SerializeDerive)]
#[serde(rename_all = "camelCase")]
pub(super) enum MediaSource<'a> {
    /// Base64.
    Bytes(Cow<'a, str>),
    S3Location {
        uri: &'a str,
    },
}

/// The model's reasoning.
#[derive(Debug, SerializeDerive)]
#[serde(rename_all = "camelCase")]
pub(super) enum Thought<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(Cow<'a, str>),
}

/// "Cache the prompt up to here."
#[derive(Debug, Clone, Copy, SerializeDerive)]
pub(super) struct CachePoint {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

impl CachePoint {
    const fn new(mark: CacheMark) -> Self {
        Self {
            kind: "default",
            ttl: match mark {
                CacheMark::FiveMinutes => None,
                CacheMark::OneHour => Some("1h"),
            },
        }
    }
}

/// The functions that the model may call, and whether it must.
#[derive(Debug, Default, SerializeDerive)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    #[serde(serialize_with = "with_cache_points")]
    pub(super) tools: Vec<ToolSpec<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<WireToolChoice<'a>>,
}

/// A function.
#[derive(Debug, SerializeDerive)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolSpec<'a> {
    pub(super) name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'a str>,
    pub(super) input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strict: Option<bool>,
    #[serde(skip)]
    pub(super) cache: Option<CacheMark>,
}

/// A function's schema.
#[derive(Debug, SerializeDerive)]
pub(super) struct InputSchema<'a> {
    pub(super) json: Cow<'a, Value>,
}

#[derive(SerializeDerive)]
#[serde(rename_all = "camelCase")]
enum ToolEntry<'t, 'a> {
    ToolSpec(&'t ToolSpec<'a>),
    CachePoint(CachePoint),
}

fn with_cache_points<S: Serializer>(
    tools: &[ToolSpec<'_>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for tool in tools {
        list.serialize_element(&ToolEntry::ToolSpec(tool))?;
        if let Some(mark) = tool.cache {
            list.serialize_element(&ToolEntry::CachePoint(CachePoint::new(mark)))?;
        }
    }
    list.end()
}

/// Whether the model calls a function. "None" cannot be said.
#[derive(Debug, PartialEq, Eq, SerializeDerive)]
#[serde(rename_all = "camelCase")]
pub(super) enum WireToolChoice<'a> {
    Auto {},
    Any {},
    Tool { name: Cow<'a, str> },
}

impl WireToolChoice<'_> {
    /// The model must call something.
    pub(super) const fn is_forced(&self) -> bool {
        !matches!(self, Self::Auto {})
    }
}

/// The limits and numbers that every model knows.
#[derive(Debug, Default, SerializeDerive)]
#[serde(rename_all = "camelCase")]
pub(super) struct InferenceConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<Number>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stop_sequences: Vec<&'a str>,
}

impl InferenceConfig<'_> {
    const fn is_empty(&self) -> bool {
        self.max_tokens.is_none()
            && self.temperature.is_none()
            && self.top_p.is_none()
            && self.stop_sequences.is_empty()
    }
}

/// Effort and answer format.
#[derive(Debug, Default, SerializeDerive)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text_format: Option<TextFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effort: Option<&'static str>,
}

impl OutputConfig<'_> {
    const fn is_empty(&self) -> bool {
        self.text_format.is_none() && self.effort.is_none()
    }
}

/// Structured outputs.
#[derive(Debug, SerializeDerive)]
pub(super) struct TextFormat<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) structure: Structure<'a>,
}

/// What the answer must look like.
#[derive(Debug, SerializeDerive)]
#[serde(rename_all = "camelCase")]
pub(super) enum Structure<'a> {
    JsonSchema {
        /// JSON within JSON.
        schema: String,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
    },
}

/// Takes away the earliest marks of the conversation beyond the bound: the latest ones cache the longest prefix.
pub(super) fn bound_marks(body: &mut Body<'_>, drops: &mut Drops) {
    let mut marks: Vec<&mut Option<CacheMark>> = Vec::new();
    let turns = body.messages.iter_mut().map(|turn| &mut turn.content);
    for content in turns.chain([&mut body.system]) {
        marks.extend(content.0.iter_mut().map(|entry| &mut entry.cache));
    }
    let tools = body
        .tool_config
        .iter_mut()
        .flat_map(|config| &mut config.tools);
    marks.extend(tools.map(|tool| &mut tool.cache));
    marks.retain(|mark| mark.is_some());
    let excess = marks.len().saturating_sub(MARKS_MAX);
    for mark in marks.into_iter().take(excess) {
        *mark = None;
        drops.push("cache_control", "bedrock takes four prompt-cache marks");
    }
}
