//! What tokens, and what some models count instead of them, cost: a model's prices by kind, the cost of a usage, and a bound on the cost before it is known.
//!
//! Decides how kinds add up and how parts of parts are charged apart. Knows no provider and no configuration.
//! Prices are nano-dollars for a million tokens. A request's cost is summed exactly and rounded up once, at the end,
//! to a whole nano-dollar.

use std::sync::Arc;

use sluice_units::{NanoUsd, Timestamp, Tokens, Usage};
use sluice_wire::openai::direct::Units;

const TOKENS_PER_PRICE: i128 = 1_000_000;

/// The price of each kind of token, for a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Input that no cache knows.
    pub input: NanoUsd,
    /// Input read from a prompt cache.
    pub input_cached: NanoUsd,
    /// Input written to a prompt cache for five minutes or the provider's usual time.
    pub cache_write_5m: NanoUsd,
    /// Input written to a prompt cache for an hour.
    pub cache_write_1h: NanoUsd,
    /// Input that is audio.
    pub input_audio: NanoUsd,
    /// Input that is an image.
    pub input_image: NanoUsd,
    /// Output.
    pub output: NanoUsd,
    /// Output that is reasoning.
    pub reasoning: NanoUsd,
    /// Output that is audio.
    pub output_audio: NanoUsd,
}

/// The prices of what is used beside tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnitRates {
    /// For an image that is made.
    pub image: NanoUsd,
    /// For a million characters that are spoken.
    pub characters: NanoUsd,
    /// For a second that is listened to.
    pub second: NanoUsd,
}

/// Other rates for the whole of a request whose input is longer than a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// The input, cached or not, must be longer than this.
    pub above: Tokens,
    /// The rates then.
    pub rates: Rates,
}

/// A model's prices from some moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The first moment at which they hold.
    pub effective_from: Timestamp,
    /// For a request, whatever it uses.
    pub per_request: NanoUsd,
    /// For what is used beside tokens.
    pub units: UnitRates,
    /// For requests of ordinary length.
    pub rates: Rates,
    /// For long inputs, shortest first.
    pub tiers: Vec<Tier>,
}

/// Which kinds of token a request can use, so that its bound is not higher than need be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds {
    /// It may write to a prompt cache for five minutes or the provider's usual time.
    pub cache_write_5m: bool,
    /// It may write to a prompt cache for an hour.
    pub cache_write_1h: bool,
    /// It may hold audio.
    pub input_audio: bool,
    /// It may hold images.
    pub input_image: bool,
    /// Its answer may be audio.
    pub output_audio: bool,
}

impl Kinds {
    /// Nothing is known of the request.
    pub const ALL: Self = Self {
        cache_write_5m: true,
        cache_write_1h: true,
        input_audio: true,
        input_image: true,
        output_audio: true,
    };
}

/// A model's prices over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceTable(Arc<[Price]>);

impl PriceTable {
    /// Takes the prices in any order. Of two that begin at once the later one in the list holds.
    #[must_use]
    pub fn new(mut prices: Vec<Price>) -> Self {
        prices.sort_by_key(|price| price.effective_from);
        Self(prices.into())
    }

    /// The prices that hold at this moment, if any do yet.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Option<&Price> {
        self.0
            .iter()
            .rev()
            .find(|price| price.effective_from <= now)
    }

    /// All prices, oldest first.
    #[must_use]
    pub fn all(&self) -> &[Price] {
        &self.0
    }
}

/// What this usage costs at these prices.
///
/// Reasoning and audio are taken out of output, audio and images out of input, and charged at their own rates.
/// Where a provider reports more of a part than of the whole, the part is charged as reported.
#[must_use]
pub fn cost(price: &Price, usage: &Usage) -> NanoUsd {
    let rates = rates_for(price, usage.input_total());
    let input_text = usage
        .input
        .minus(usage.input_audio)
        .minus(usage.input_image);
    let output_text = usage
        .output
        .minus(usage.reasoning)
        .minus(usage.output_audio);
    let parts = [
        (rates.input, input_text),
        (rates.input_audio, usage.input_audio),
        (rates.input_image, usage.input_image),
        (rates.input_cached, usage.input_cached),
        (rates.cache_write_5m, usage.cache_write_5m),
        (rates.cache_write_1h, usage.cache_write_1h),
        (rates.output, output_text),
        (rates.reasoning, usage.reasoning),
        (rates.output_audio, usage.output_audio),
    ];
    sum(&parts).plus(price.per_request)
}

/// What this costs, beside tokens.
#[must_use]
pub fn cost_of_units(price: &Price, units: &Units) -> NanoUsd {
    let UnitRates {
        image,
        characters,
        second,
    } = price.units;
    let whole = |rate: NanoUsd, count: u64| {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        NanoUsd::from_nanos(rate.as_nanos().saturating_mul(count))
    };
    sum(&[(characters, Tokens::new(units.characters))])
        .plus(whole(image, units.images))
        .plus(whole(second, units.seconds))
}

/// The most that a request of this size can cost, whatever kinds its tokens turn out to be.
#[must_use]
pub fn upper_bound(price: &Price, input_tokens_max: Tokens, output_tokens_max: Tokens) -> NanoUsd {
    upper_bound_of(price, input_tokens_max, output_tokens_max, Kinds::ALL)
}

/// The most that a request of this size can cost when its tokens are of these kinds only.
#[must_use]
pub fn upper_bound_of(
    price: &Price,
    input_tokens_max: Tokens,
    output_tokens_max: Tokens,
    kinds: Kinds,
) -> NanoUsd {
    price
        .tiers
        .iter()
        .filter(|tier| tier.above < input_tokens_max)
        .map(|tier| &tier.rates)
        .chain([&price.rates])
        .map(|rates| {
            sum(&[
                (dearest_input(rates, kinds), input_tokens_max),
                (dearest_output(rates, kinds), output_tokens_max),
            ])
        })
        .max()
        .unwrap_or(NanoUsd::ZERO)
        .plus(price.per_request)
}

fn rates_for(price: &Price, input_total: Tokens) -> &Rates {
    price
        .tiers
        .iter()
        .rev()
        .find(|tier| input_total > tier.above)
        .map_or(&price.rates, |tier| &tier.rates)
}

fn dearest_input(rates: &Rates, kinds: Kinds) -> NanoUsd {
    [
        (true, rates.input),
        (true, rates.input_cached),
        (kinds.cache_write_5m, rates.cache_write_5m),
        (kinds.cache_write_1h, rates.cache_write_1h),
        (kinds.input_audio, rates.input_audio),
        (kinds.input_image, rates.input_image),
    ]
    .into_iter()
    .filter_map(|(possible, rate)| possible.then_some(rate))
    .max()
    .unwrap_or(rates.input)
}

fn dearest_output(rates: &Rates, kinds: Kinds) -> NanoUsd {
    let audio = if kinds.output_audio {
        rates.output_audio
    } else {
        rates.output
    };
    rates.output.max(rates.reasoning).max(audio)
}

/// The exact sum, rounded up once; saturating.
fn sum(parts: &[(NanoUsd, Tokens)]) -> NanoUsd {
    let exact = parts.iter().fold(0_i128, |sum, (rate, tokens)| {
        let part = i128::from(rate.as_nanos()).saturating_mul(i128::from(tokens.count()));
        sum.saturating_add(part)
    });
    let rounded = exact
        .saturating_add(TOKENS_PER_PRICE.saturating_sub(1))
        .div_euclid(TOKENS_PER_PRICE);
    NanoUsd::from_nanos(i64::try_from(rounded).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usd(text: &str) -> NanoUsd {
        NanoUsd::parse_usd(text).unwrap()
    }

    fn rates() -> Rates {
        Rates {
            input: usd("3"),
            input_cached: usd("0.3"),
            cache_write_5m: usd("3.75"),
            cache_write_1h: usd("6"),
            input_audio: usd("10"),
            input_image: usd("4"),
            output: usd("15"),
            reasoning: usd("20"),
            output_audio: usd("60"),
        }
    }

    fn price() -> Price {
        let long = Rates {
            input: usd("6"),
            output: usd("22.5"),
            ..rates()
        };
        Price {
            effective_from: Timestamp::default(),
            per_request: usd("0.001"),
            units: UnitRates {
                image: usd("0.04"),
                characters: usd("15"),
                second: usd("0.0001"),
            },
            rates: rates(),
            tiers: vec![Tier {
                above: Tokens::new(200_000),
                rates: long,
            }],
        }
    }

    #[test]
    fn what_is_no_token_has_prices_too() {
        let units = Units {
            images: 2,
            characters: 1_001,
            seconds: 30,
        };
        assert_eq!(cost_of_units(&price(), &units), usd("0.098015"));
        assert_eq!(cost_of_units(&price(), &Units::default()), NanoUsd::ZERO);
    }

    fn check(usage: Usage, expected: &str) {
        assert_eq!(cost(&price(), &usage), usd(expected), "{usage:?}");
    }

    fn million() -> Tokens {
        Tokens::new(100_000)
    }

    #[test]
    fn each_kind_is_charged_at_its_own_rate() {
        let none = Usage::default();
        check(none, "0.001");
        check(
            Usage {
                input: million(),
                ..none
            },
            "0.301",
        );
        check(
            Usage {
                input_cached: million(),
                ..none
            },
            "0.031",
        );
        check(
            Usage {
                cache_write_5m: million(),
                ..none
            },
            "0.376",
        );
        check(
            Usage {
                cache_write_1h: million(),
                ..none
            },
            "0.601",
        );
        check(
            Usage {
                output: million(),
                ..none
            },
            "1.501",
        );
    }

    #[test]
    fn a_part_is_not_charged_twice() {
        let tenth = Tokens::new(10_000);
        let none = Usage::default();
        check(
            Usage {
                input: million(),
                input_audio: tenth,
                input_image: tenth,
                ..none
            },
            "0.381",
        );
        check(
            Usage {
                output: million(),
                reasoning: tenth,
                output_audio: tenth,
                ..none
            },
            "2.001",
        );
    }

    #[test]
    fn a_long_input_is_charged_at_the_tier_as_a_whole() {
        let none = Usage::default();
        check(
            Usage {
                input: Tokens::new(200_000),
                ..none
            },
            "0.601",
        );
        check(
            Usage {
                input: Tokens::new(100_001),
                input_cached: million(),
                output: million(),
                ..none
            },
            "2.881006",
        );
    }

    #[test]
    fn the_sum_is_rounded_up_once() {
        let price = Price {
            per_request: NanoUsd::ZERO,
            rates: Rates {
                input: usd("0.0000004"),
                output: usd("0.0000004"),
                ..Rates::default()
            },
            tiers: Vec::new(),
            ..price()
        };
        let usage = Usage {
            input: Tokens::new(1_000),
            output: Tokens::new(1_000),
            ..Usage::default()
        };
        assert_eq!(cost(&price, &usage), NanoUsd::from_nanos(1));
    }

    #[test]
    fn prices_change_on_their_day() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let from = |seconds: i64, per_request: &str| Price {
            effective_from: at(seconds),
            per_request: usd(per_request),
            ..price()
        };
        let table = PriceTable::new(vec![from(200, "2"), from(100, "1")]);
        assert_eq!(table.at(at(99)), None);
        assert_eq!(table.at(at(100)).unwrap().per_request, usd("1"));
        assert_eq!(table.at(at(199)).unwrap().per_request, usd("1"));
        assert_eq!(table.at(at(200)).unwrap().per_request, usd("2"));
    }

    #[test]
    fn the_bound_leaves_out_kinds_that_cannot_occur() {
        let text_only = Kinds {
            cache_write_5m: false,
            cache_write_1h: false,
            input_audio: false,
            input_image: false,
            output_audio: false,
        };
        let bound = |kinds| upper_bound_of(&price(), million(), million(), kinds);
        assert_eq!(bound(text_only), usd("2.301"));
        assert_eq!(bound(Kinds::ALL), usd("7.001"));
    }

    fn tokens() -> impl Strategy<Value = Tokens> {
        (0_u64..400_000).prop_map(Tokens::new)
    }

    fn rate() -> impl Strategy<Value = NanoUsd> {
        (0_i64..100_000_000_000).prop_map(NanoUsd::from_nanos)
    }

    prop_compose! {
        fn any_rates()(
            input in rate(), input_cached in rate(), cache_write_5m in rate(), cache_write_1h in rate(),
            input_audio in rate(), input_image in rate(), output in rate(), reasoning in rate(),
            output_audio in rate(),
        ) -> Rates {
            Rates {
                input, input_cached, cache_write_5m, cache_write_1h, input_audio, input_image,
                output, reasoning, output_audio,
            }
        }
    }

    prop_compose! {
        fn any_usage()(
            audio in tokens(), image in tokens(), text in tokens(), input_cached in tokens(),
            cache_write_5m in tokens(), cache_write_1h in tokens(),
            said in tokens(), reasoning in tokens(), output_audio in tokens(),
        ) -> Usage {
            Usage {
                input: text.plus(audio).plus(image), input_audio: audio, input_image: image,
                input_cached, cache_write_5m, cache_write_1h,
                output: said.plus(reasoning).plus(output_audio), reasoning, output_audio,
                ..Usage::default()
            }
        }
    }

    proptest! {
        #[test]
        fn no_usage_costs_more_than_its_bound(
            rates in any_rates(), long in any_rates(), above in tokens(), usage in any_usage(),
        ) {
            let tiers = vec![Tier { above, rates: long }];
            let price = Price { rates, tiers, ..price() };
            let bound = upper_bound(&price, usage.input_total(), usage.output);
            prop_assert!(cost(&price, &usage) <= bound);
        }
    }
}
