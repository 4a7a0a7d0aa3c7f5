//! A conversation, and the answer to it.

use serde_json::{Map, Number, Value};

use super::Usage;

/// One request for the next turn of a conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatRequest {
    /// The model's name as the caller wrote it.
    pub model: String,
    /// System, developer, user, assistant and tool turns, in the caller's order.
    pub messages: Vec<Message>,
    /// The functions that the model may call.
    pub tools: Vec<Tool>,
    /// Whether it may, must, must not call, or which one.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may stand in one turn; `None` leaves it to the provider.
    pub parallel_tool_calls: Option<bool>,
    /// The most output tokens to generate, reasoning included.
    pub output_tokens_max: Option<u64>,
    /// Temperature and its relatives.
    pub sampling: Sampling,
    /// Texts at which generation stops.
    pub stop: Vec<String>,
    /// Plain text, any JSON object, or JSON after a schema.
    pub format: Option<ResponseFormat>,
    /// How much to think before answering.
    pub reasoning: Option<Reasoning>,
    /// Whether to return log-probabilities.
    pub logprobs: Option<Logprobs>,
    /// How many alternative answers to generate; `None` means one.
    pub choices: Option<u32>,
    /// The caller's own name for the end user.
    pub user: Option<String>,
    /// The caller's labels.
    pub metadata: Map<String, Value>,
    /// Answer as a stream of events.
    pub stream: bool,
    /// The stream's last event carries usage (the caller asked for it).
    pub stream_usage: bool,
    /// Top-level fields that the model has no name for, as they were written.
    pub extra: Map<String, Value>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The operator's instructions.
    System,
    /// The same under the name that OpenAI's reasoning models use.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The results of tool calls.
    Tool,
}

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order. May be empty.
    pub parts: Vec<Part>,
    /// The speaker's name, where the caller gave one.
    pub name: Option<String>,
}

/// One piece of a turn, in a request or in an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Plain text.
    Text {
        /// The text.
        text: String,
        /// A prompt-cache mark after this part.
        cache: Option<CacheMark>,
        /// Citations or annotations, in the shape of the dialect that they came from.
        annotations: Vec<Value>,
    },
    /// A picture.
    Image {
        /// Where it is.
        source: Source,
        /// OpenAI's `low`, `high` or `auto`.
        detail: Option<String>,
        /// A prompt-cache mark after this part.
        cache: Option<CacheMark>,
    },
    /// Sound.
    Audio {
        /// Where it is.
        source: Source,
        /// A prompt-cache mark after this part.
        cache: Option<CacheMark>,
    },
    /// A file, such as a PDF.
    Document {
        /// Where it is.
        source: Source,
        /// Its file name or title.
        name: Option<String>,
        /// A prompt-cache mark after this part.
        cache: Option<CacheMark>,
    },
    /// The model calls a function.
    ToolCall {
        /// The call's identifier; empty where the provider gave none.
        id: String,
        /// The function's name.
        name: String,
        /// Its arguments: JSON text, byte for byte; `{}` where the provider gave none.
        arguments: String,
        /// An opaque proof of the provider's that must come back with the call (Gemini's thought signature).
        signature: Option<String>,
        /// A prompt-cache mark after this part.
        cache: Option<CacheMark>,
    },
    /// The result of a call.
    ToolResult {
        /// The call's identifier.
        id: String,
        /// The function's name, where the dialect says it.
        name: Option<String>,
        /// Text, images, documents. May be empty.
        parts: Vec<Self>,
        /// The call failed.
        is_error: bool,
        /// A prompt-cache mark after this part.
        cache: Option<CacheMark>,
    },
    /// The model's reasoning.
    Thinking {
        /// What may be shown of it. May be empty.
        text: String,
        /// The provider's proof over it, byte for byte; needed to send it back.
        signature: Option<String>,
    },
    /// Reasoning that only the provider can read; sent back byte for byte.
    RedactedThinking {
        /// The encrypted reasoning.
        data: String,
    },
    /// The model declines, in its own words.
    Refusal {
        /// The words.
        text: String,
    },
}

impl Part {
    /// Plain text with nothing attached.
    #[must_use]
    pub const fn text(text: String) -> Self {
        Self::Text {
            text,
            cache: None,
            annotations: Vec::new(),
        }
    }
}

impl Part {
    /// A sound where the type says so, a picture otherwise.
    #[must_use]
    pub fn media(source: Source) -> Self {
        let cache = None;
        match &source {
            Source::Base64 { media_type, .. } if media_type.starts_with("audio/") => {
                Self::Audio { source, cache }
            }
            _ => Self::Image {
                source,
                detail: None,
                cache,
            },
        }
    }
}

impl Part {
    /// The prompt-cache mark after this part.
    #[must_use]
    pub const fn cache(&self) -> Option<CacheMark> {
        match self {
            Self::Text { cache, .. }
            | Self::Image { cache, .. }
            | Self::Audio { cache, .. }
            | Self::Document { cache, .. }
            | Self::ToolCall { cache, .. }
            | Self::ToolResult { cache, .. } => *cache,
            Self::Thinking { .. } | Self::RedactedThinking { .. } | Self::Refusal { .. } => None,
        }
    }

    /// Puts a prompt-cache mark after this part; `false` when it can carry none.
    pub const fn set_cache(&mut self, mark: CacheMark) -> bool {
        match self {
            Self::Text { cache, .. }
            | Self::Image { cache, .. }
            | Self::Audio { cache, .. }
            | Self::Document { cache, .. }
            | Self::ToolCall { cache, .. }
            | Self::ToolResult { cache, .. } => {
                *cache = Some(mark);
                true
            }
            Self::Thinking { .. } | Self::RedactedThinking { .. } | Self::Refusal { .. } => false,
        }
    }
}

/// "Cache the prompt up to here."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMark {
    /// For five minutes, the usual time.
    FiveMinutes,
    /// For an hour.
    OneHour,
}

/// Where a picture, sound or file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At an address that the provider fetches.
    Url(String),
    /// In the request itself.
    Base64 {
        /// Such as `image/png`.
        media_type: String,
        /// Base64 with the standard alphabet, as it came.
        data: String,
    },
    /// Uploaded to the provider before.
    FileId(String),
    /// Plain text (for documents).
    Text(String),
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// A JSON schema for the arguments; `None` means none are taken.
    pub parameters: Option<Value>,
    /// The arguments must follow the schema exactly.
    pub strict: Option<bool>,
    /// A prompt-cache mark after this tool.
    pub cache: Option<CacheMark>,
}

/// Whether the model calls a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// It must not.
    None,
    /// It must call at least one.
    Required,
    /// It must call this one.
    Named(String),
}

/// Temperature and its relatives, as the caller wrote the numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Randomness.
    pub temperature: Option<Number>,
    /// Nucleus sampling.
    pub top_p: Option<Number>,
    /// Sampling from the best k.
    pub top_k: Option<Number>,
    /// Penalty on what has been said at all.
    pub presence_penalty: Option<Number>,
    /// Penalty on what has been said often.
    pub frequency_penalty: Option<Number>,
    /// For repeatable answers.
    pub seed: Option<i64>,
    /// Token id → bias.
    pub logit_bias: Map<String, Value>,
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponseFormat {
    /// Plain text, said explicitly.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON after a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// The answer must follow it exactly.
        strict: Option<bool>,
    },
}

/// How much to think before answering.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// OpenAI's scale.
    pub effort: Option<Effort>,
    /// Anthropic's and Gemini's: at most that many tokens; zero turns thinking off.
    pub budget_tokens: Option<u64>,
    /// Show the thoughts (or a summary of them) in the answer.
    pub include: Option<bool>,
}

impl Reasoning {
    /// The caller wants no thoughts at all.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.budget_tokens == Some(0) || self.effort == Some(Effort::None)
    }
}

/// How hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as possible.
    Minimal,
    /// A little.
    Low,
    /// The usual.
    Medium,
    /// A lot.
    High,
    /// Very much.
    XHigh,
    /// As much as possible.
    Max,
}

/// Log-probabilities of the answer's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Logprobs {
    /// Return them for the chosen tokens.
    pub enabled: bool,
    /// And for that many alternatives.
    pub top: Option<u32>,
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatResponse {
    /// The provider's identifier for the answer; empty where it gave none.
    pub id: String,
    /// The model's name as the provider says it.
    pub model: String,
    /// Seconds since the Unix epoch, where the provider says it.
    pub created: Option<i64>,
    /// The alternatives, by rising index. Usually one.
    pub choices: Vec<Choice>,
    /// What was used, where the provider says it.
    pub usage: Option<Usage>,
    /// Top-level fields that the model has no name for.
    pub extra: Map<String, Value>,
}

/// One alternative.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Its number, from 0.
    pub index: u32,
    /// What the model said.
    pub parts: Vec<Part>,
    /// Why it stopped.
    pub finish: Finish,
    /// Log-probabilities in OpenAI's shape.
    pub logprobs: Option<Value>,
}

/// Why the model stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Finish {
    /// It was done.
    #[default]
    Stop,
    /// It met this stop sequence (where the provider says which).
    StopSequence(Option<String>),
    /// It reached the limit on output tokens.
    Length,
    /// The context window is full.
    ContextFull,
    /// It waits for the results of its tool calls.
    ToolCalls,
    /// The provider's safety system cut it off.
    ContentFilter,
    /// The model declined.
    Refusal,
    /// A long-running turn was paused and is to be continued (Anthropic's `pause_turn`).
    Pause,
    /// Something that the model has no name for, in the provider's word.
    Other(String),
}
