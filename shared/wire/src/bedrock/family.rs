//! What kind of model an identifier names, for what Converse says differently to each.
//!
//! Follows <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html>: an identifier
//! holds its maker's name, before it perhaps a region (`eu.anthropic.claude-…`) or an ARN that ends in it. The ARN of
//! an application's inference profile or of a provisioned model tells nothing.

/// The kinds that are spoken to differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's.
    Claude,
    /// Amazon's Nova, before its second generation.
    Nova,
    /// Amazon's Nova that thinks.
    Nova2,
    /// OpenAI's open models.
    GptOss,
    /// Mistral's.
    Mistral,
    /// Another maker's.
    Other,
    /// It cannot be told.
    Unknown,
}

impl Family {
    /// The kind of model that this identifier names.
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        let made_by = |maker: &str| name.split('.').any(|word| word == maker);
        if made_by("anthropic") {
            Self::Claude
        } else if name.contains("amazon.nova-2") {
            Self::Nova2
        } else if name.contains("amazon.nova") {
            Self::Nova
        } else if name.contains("openai.gpt-oss") {
            Self::GptOss
        } else if made_by("mistral") {
            Self::Mistral
        } else if name.contains('.') {
            Self::Other
        } else {
            Self::Unknown
        }
    }

    /// The model has a prompt cache, or it cannot be told.
    pub(super) const fn has_cache(self) -> bool {
        matches!(
            self,
            Self::Claude | Self::Nova | Self::Nova2 | Self::Unknown
        )
    }
}
