//! The bound on prompt-cache marks: Messages refuses a request with more than four.

use super::blocks::{Block, Body, CacheControl};
use crate::Drops;

/// The most marks of one request, by Anthropic's page on prompt caching.
const MARKS_MAX: usize = 4;

/// Takes away the earliest marks of the conversation beyond the bound: the latest ones cache the longest prefix.
pub(super) fn bound(body: &mut Body<'_>, drops: &mut Drops) {
    let mut marks: Vec<&mut Option<CacheControl>> = Vec::new();
    for turn in &mut body.messages {
        collect(&mut turn.content, &mut marks);
    }
    collect(&mut body.system, &mut marks);
    marks.extend(body.tools.iter_mut().map(|tool| &mut tool.cache_control));
    marks.retain(|mark| mark.is_some());
    let excess = marks.len().saturating_sub(MARKS_MAX);
    for mark in marks.into_iter().take(excess) {
        *mark = None;
        drops.push("cache_control", "anthropic takes four prompt-cache marks");
    }
}

fn collect<'m>(blocks: &'m mut [Block<'_>], marks: &mut Vec<&'m mut Option<CacheControl>>) {
    for block in blocks {
        match block {
            Block::Text { cache_control, .. }
            | Block::Image { cache_control, .. }
            | Block::Document { cache_control, .. }
            | Block::ToolUse { cache_control, .. } => marks.push(cache_control),
            Block::ToolResult {
                content,
                cache_control,
                ..
            } => {
                collect(content, marks);
                marks.push(cache_control);
            }
            Block::Thinking { .. } | Block::RedactedThinking { .. } => {}
        }
    }
}
