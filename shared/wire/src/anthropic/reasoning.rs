//! How much to think: from an effort or a budget to `thinking` and `output_config.effort`.

use super::blocks::{Block, Thinking, Turn, TurnRole};
use crate::model::{Effort, Reasoning};
use crate::{Drops, Target};

/// The least that Messages takes as a budget, in tokens.
const BUDGET_TOKENS_MIN: u64 = 1_024;
const BUDGET_TOKENS_LOW: u64 = 2_048;
const BUDGET_TOKENS_MEDIUM: u64 = 8_192;
const BUDGET_TOKENS_HIGH: u64 = 16_384;
const BUDGET_TOKENS_XHIGH: u64 = 32_768;

/// What goes into the body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) thinking: Option<Thinking>,
    pub(crate) effort: Option<&'static str>,
}

impl Plan {
    /// The model will think.
    pub(crate) const fn thinks(&self) -> bool {
        matches!(
            self.thinking,
            Some(Thinking::Enabled { .. } | Thinking::Adaptive { .. })
        )
    }
}

/// What the rest of the request says about thinking.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    /// The limit on output, thoughts included.
    pub(crate) output_tokens_max: u64,
    /// A tool call is forced.
    pub(crate) forced: bool,
    /// The conversation lets the model think before its next words; see [`history_allows`].
    pub(crate) history_allows: bool,
}

/// Decides whether and how much the model thinks. What the caller wanted and does not get is named.
pub(crate) fn plan(
    reasoning: Option<&Reasoning>,
    target: &Target,
    around: Surroundings,
    drops: &mut Drops,
) -> Plan {
    let Some(wanted) = reasoning.and_then(Wanted::of) else {
        return Plan::default();
    };
    if wanted.nothing() {
        // Only models that decide for themselves think unasked.
        let thinking =
            (target.reasoning && target.reasoning_adaptive).then_some(Thinking::Disabled);
        return Plan {
            thinking,
            effort: None,
        };
    }
    if let Some(reason) = obstacle(target, around) {
        drops.push(wanted.field, reason);
        return Plan::default();
    }
    let display = reasoning
        .and_then(|reasoning| reasoning.include)
        .map(|shown| if shown { "summarized" } else { "omitted" });
    if target.reasoning_adaptive {
        if wanted.effort.is_none() {
            drops.push(
                wanted.field,
                "the model takes an effort instead of a budget",
            );
        }
        return Plan {
            thinking: Some(Thinking::Adaptive { display }),
            effort: Some(wanted.word()),
        };
    }
    Plan {
        thinking: Some(Thinking::Enabled {
            budget_tokens: wanted.budget_within(around.output_tokens_max, drops),
            display,
        }),
        effort: None,
    }
}

fn obstacle(target: &Target, around: Surroundings) -> Option<&'static str> {
    if !target.reasoning {
        Some("the model does not think")
    } else if around.forced {
        Some("thinking is not allowed together with a forced tool call")
    } else if target.reasoning_adaptive {
        None
    } else if around.output_tokens_max <= BUDGET_TOKENS_MIN {
        Some("the limit on output leaves no room for thinking")
    } else if !around.history_allows {
        Some("the assistant's last turn does not begin with its thoughts")
    } else {
        None
    }
}

/// With a budget, an assistant's turn that is to be continued must begin with its thoughts. A caller that keeps
/// only standard fields cannot send them.
pub(super) fn history_allows(turns: &[Turn<'_>]) -> bool {
    let Some((last, before)) = turns.split_last() else {
        return true;
    };
    let begins_with_thoughts =
        |turn: &Turn<'_>| turn.content.first().is_some_and(Block::is_thinking);
    match last.role {
        TurnRole::Assistant => begins_with_thoughts(last),
        TurnRole::User => {
            !matches!(last.content.first(), Some(Block::ToolResult { .. }))
                || before.last().is_none_or(begins_with_thoughts)
        }
    }
}

struct Wanted {
    field: &'static str,
    effort: Option<Effort>,
    budget: u64,
    exact: bool,
}

impl Wanted {
    fn of(reasoning: &Reasoning) -> Option<Self> {
        if let Some(budget) = reasoning.budget_tokens {
            return Some(Self {
                field: "thinking.budget_tokens",
                effort: reasoning.effort,
                budget,
                exact: true,
            });
        }
        reasoning.effort.map(|effort| Self {
            field: "reasoning_effort",
            effort: Some(effort),
            budget: match effort {
                Effort::None => 0,
                Effort::Minimal => BUDGET_TOKENS_MIN,
                Effort::Low => BUDGET_TOKENS_LOW,
                Effort::Medium => BUDGET_TOKENS_MEDIUM,
                Effort::High => BUDGET_TOKENS_HIGH,
                Effort::XHigh | Effort::Max => BUDGET_TOKENS_XHIGH,
            },
            exact: false,
        })
    }

    fn nothing(&self) -> bool {
        self.budget == 0 || self.effort == Some(Effort::None)
    }

    const fn word(&self) -> &'static str {
        match self.effort {
            Some(Effort::None | Effort::Minimal | Effort::Low) => "low",
            Some(Effort::Medium) => "medium",
            Some(Effort::High) => "high",
            Some(Effort::XHigh) => "xhigh",
            Some(Effort::Max) => "max",
            None if self.budget <= BUDGET_TOKENS_LOW => "low",
            None if self.budget <= BUDGET_TOKENS_MEDIUM => "medium",
            None if self.budget <= BUDGET_TOKENS_HIGH => "high",
            None => "xhigh",
        }
    }

    /// A budget below the limit on output, which must be above the least budget. An effort leaves half for the answer.
    fn budget_within(&self, output_tokens_max: u64, drops: &mut Drops) -> u64 {
        let most = if self.exact {
            output_tokens_max.saturating_sub(1)
        } else {
            output_tokens_max / 2
        };
        let budget = self.budget.min(most).max(BUDGET_TOKENS_MIN);
        if self.exact && budget != self.budget {
            drops.push(
                self.field,
                format!("changed to {budget}, which is allowed here"),
            );
        }
        budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        reasoning: &Reasoning,
        target: &Target,
        output_tokens_max: u64,
        expected: &Plan,
        drops: usize,
    ) {
        let mut found = Drops::new();
        let around = Surroundings {
            output_tokens_max,
            forced: false,
            history_allows: true,
        };
        assert_eq!(&plan(Some(reasoning), target, around, &mut found), expected);
        assert_eq!(found.as_slice().len(), drops, "{found:?}");
    }

    const fn enabled(budget_tokens: u64) -> Plan {
        Plan {
            thinking: Some(Thinking::Enabled {
                budget_tokens,
                display: None,
            }),
            effort: None,
        }
    }

    fn effort(effort: Effort) -> Reasoning {
        Reasoning {
            effort: Some(effort),
            ..Reasoning::default()
        }
    }

    fn budget(tokens: u64) -> Reasoning {
        Reasoning {
            budget_tokens: Some(tokens),
            ..Reasoning::default()
        }
    }

    #[test]
    fn a_budget_stays_below_the_limit_on_output() {
        let target = Target::default();
        check(&effort(Effort::High), &target, 64_000, &enabled(16_384), 0);
        check(&effort(Effort::High), &target, 8_000, &enabled(4_000), 0);
        check(&effort(Effort::High), &target, 1_025, &enabled(1_024), 0);
        check(&effort(Effort::High), &target, 1_024, &Plan::default(), 1);
        check(&budget(5_000), &target, 8_000, &enabled(5_000), 0);
        check(&budget(8_000), &target, 8_000, &enabled(7_999), 1);
        check(&budget(10), &target, 8_000, &enabled(1_024), 1);
        check(&budget(0), &target, 8_000, &Plan::default(), 0);
        check(&effort(Effort::None), &target, 8_000, &Plan::default(), 0);
    }

    #[test]
    fn an_adaptive_model_takes_an_effort() {
        let target = Target {
            reasoning_adaptive: true,
            ..Target::default()
        };
        let adaptive = |effort| Plan {
            thinking: Some(Thinking::Adaptive { display: None }),
            effort: Some(effort),
        };
        check(&effort(Effort::Minimal), &target, 10, &adaptive("low"), 0);
        check(&effort(Effort::XHigh), &target, 10, &adaptive("xhigh"), 0);
        check(&budget(9_000), &target, 10, &adaptive("high"), 1);
        let disabled = Plan {
            thinking: Some(Thinking::Disabled),
            effort: None,
        };
        check(&effort(Effort::None), &target, 10, &disabled, 0);
    }
}
