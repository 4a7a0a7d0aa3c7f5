//! Whether a loss report names exactly what was lost.

use sluice_wire::{Drops, drops::DROPS_MAX};

use super::facts::Fact;

/// Compares what was to be said with what is said in its place. Returns what is wrong with the report.
pub(crate) fn faults(said: &[Fact], carried: &[Fact], drops: &Drops) -> Vec<String> {
    let lost = without(said, carried);
    let added = without(carried, said);
    let mut faults = Vec::new();
    for fact in &lost {
        let is_named = drops.as_slice().iter().any(|drop| names(&drop.field, fact));
        if !is_named && drops.as_slice().len() < DROPS_MAX {
            faults.push(format!("lost in silence: {} ({})", fact.what, fact.field));
        }
    }
    for drop in drops.as_slice() {
        let is_lost = lost.iter().any(|fact| names(&drop.field, fact));
        if !is_lost && added.is_empty() {
            faults.push(format!(
                "named but not lost: {} ({})",
                drop.field, drop.reason
            ));
        }
    }
    faults
}

/// The facts that have no equal among the others.
fn without(facts: &[Fact], others: &[Fact]) -> Vec<Fact> {
    let mut others: Vec<&str> = others.iter().map(|fact| fact.what.as_str()).collect();
    let mut rest = facts.to_vec();
    rest.retain(
        |fact| match others.iter().position(|what| *what == fact.what) {
            Some(at) => {
                others.swap_remove(at);
                false
            }
            None => true,
        },
    );
    rest
}

/// The report's field is the fact's, holds it, or is within it. An index may be left out.
fn names(reported: &str, fact: &Fact) -> bool {
    let field = plain(&fact.field);
    let reported = plain(reported);
    if is_near(&reported, &field) {
        return true;
    }
    // Where an answer's annotations stand each dialect says in its own words.
    let are_annotations = reported.ends_with("annotations") && field.ends_with("annotations");
    if are_annotations && !reported.starts_with("messages") {
        return true;
    }
    // OpenAI's names for what belongs to a message as a whole.
    let Some((message, rest)) = reported.split_once('.') else {
        return false;
    };
    let last = field.rsplit('.').next().unwrap_or_default();
    same_message(message, &field)
        && match rest {
            "thinking" | "thinking_blocks" | "reasoning_content" => fact.is_thought(),
            "annotations" | "cache_control" | "is_error" | "signature" => last == rest,
            "content.cache_control" => last == "cache_control",
            "content.is_error" => last == "is_error",
            rest => rest.ends_with("extra_content") && last == "signature",
        }
}

fn same_message(message: &str, field: &str) -> bool {
    message.starts_with("messages[") && field.split('.').next() == Some(message)
}

fn is_near(reported: &str, field: &str) -> bool {
    let reported: Vec<&str> = reported.split('.').collect();
    let field: Vec<&str> = field.split('.').collect();
    let is_within = reported
        .iter()
        .zip(&field)
        .all(|(left, right)| same(left, right));
    // A mark or a proof is often named alone.
    is_within || (reported.len() == 1 && field.last().is_some_and(|last| same(reported[0], last)))
}

fn same(reported: &str, field: &str) -> bool {
    let (left, left_index) = reported.split_once('[').unwrap_or((reported, ""));
    let (right, right_index) = field.split_once('[').unwrap_or((field, ""));
    let any = |index: &str| index.is_empty() || index == "]";
    left == right && (left_index == right_index || any(left_index) || any(right_index))
}

/// One name for what dialects name differently.
fn plain(field: &str) -> String {
    let field = field.replace(".function.", ".").replace(".message.", ".");
    let field = match field.strip_prefix("output[]") {
        Some(rest) => format!("choices[]{rest}"),
        None => field,
    };
    match field.as_str() {
        "thinking.budget_tokens"
        | "reasoning.budget_tokens"
        | "reasoning_effort"
        | "reasoning.effort" => "reasoning".to_owned(),
        "max_completion_tokens" | "max_output_tokens" => "max_tokens".to_owned(),
        _ => field,
    }
}
