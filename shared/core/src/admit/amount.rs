//! How much a request may use at most, whichever target serves it, and how it can do with less.

use http::StatusCode;
use sluice_machines::ledger::Part;
use sluice_machines::limit::{Amount, Meter, ScopeRules};
use sluice_units::{NanoUsd, Tokens};
use sluice_wire::openai::direct::Units;

use super::{Ask, Bound};
use crate::config::{Config, TargetRef};
use crate::price;
use crate::problem::Problem;

/// How much a target would write at most.
pub(crate) fn output(config: &Config, target: &TargetRef, bound: Bound) -> Tokens {
    let output = bound.output.or(target.output_tokens_max);
    output.unwrap_or(config.accounting.output_tokens)
}

/// What a request will use at most, and how it can do with less.
pub(super) struct Estimate {
    pub(super) bound: Bound,
    pub(super) amount: Amount,
    pub(super) part: Option<Part>,
}

/// The dearest of the targets, since any of them may serve.
pub(super) fn estimate(
    config: &Config,
    scopes: &[ScopeRules],
    ask: &Ask<'_>,
) -> Result<Estimate, Problem> {
    let bounds_money = scopes
        .iter()
        .flat_map(|scope| &scope.rules)
        .any(|rule| rule.meter() == Some(Meter::Money));
    let mut most = (
        Bound {
            input: Tokens::ZERO,
            likely: Tokens::ZERO,
            output: Some(Tokens::ZERO),
            units: Units::default(),
        },
        Amount::default(),
    );
    let mut part = Part {
        least: Amount::default(),
        each: NanoUsd::ZERO,
        tokens: Tokens::ZERO,
    };
    let mut least_output = Tokens::ZERO;
    for (target, bound) in ask.course.targets().zip(&ask.bounds) {
        let output = output(config, target.get(), *bound);
        let least = ask.least.map_or(output, |least| {
            output.min(Tokens::new(least.count().saturating_mul(ask.choices)))
        });
        let cost = match target.price.as_ref().and_then(|table| table.at(ask.at)) {
            Some(price) => {
                let units = price::cost_of_units(price, &bound.units);
                let cost = price::upper_bound(price, bound.input, output).plus(units);
                let cost_least = price::upper_bound(price, bound.input, least).plus(units);
                let each = cost.minus(cost_least).as_nanos().unsigned_abs();
                let each = each.div_ceil(output.minus(least).count().max(1));
                let each = NanoUsd::from_nanos(i64::try_from(each).unwrap_or(i64::MAX));
                part.each = part.each.max(each);
                part.least.cost = part.least.cost.max(cost_least);
                cost
            }
            None if bounds_money => {
                return Err(Problem::invalid(
                    StatusCode::FORBIDDEN,
                    "model_not_priced",
                    format!(
                        "A budget or a limit on money applies, and no price is known for {} at {}: its cost could not be kept within it. An administrator can add it under [prices].",
                        target.model, target.provider.id
                    ),
                )
                .with_param("model"));
            }
            None => NanoUsd::ZERO,
        };
        let tokens = bound.input.plus(output);
        most.0.input = most.0.input.max(bound.input);
        most.0.likely = most.0.likely.max(bound.likely);
        most.0.output = most.0.output.max(Some(output));
        most.0.units = bound.units;
        most.1.tokens = most.1.tokens.max(tokens);
        most.1.cost = most.1.cost.max(cost);
        part.least.tokens = part.least.tokens.max(bound.input.plus(least));
        least_output = least_output.max(least);
    }
    // Of the output, not of all tokens: where inputs are counted differently, the target with the most tokens need not
    // be the one with the most output.
    part.tokens = most.0.output.unwrap_or_default().minus(least_output);
    Ok(Estimate {
        bound: most.0,
        amount: most.1,
        part: (part.tokens > Tokens::ZERO).then_some(part),
    })
}
