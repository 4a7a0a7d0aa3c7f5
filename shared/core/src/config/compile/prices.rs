//! Prices: decimal text to nano-dollars, defaults from kind to kind, discounts, days.

use sluice_units::{CivilDate, NanoUsd, SortedMap, Timestamp, Tokens};

use super::Check;
use crate::config::document::{Document, PriceDocument};
use crate::config::issue::Trail;
use crate::config::pattern::Pattern;
use crate::config::{SANDBOX, secrets};
use crate::price::{Price, PriceTable, Rates, Tier, UnitRates};

const DAYS_TO_EPOCH: i64 = 719_468;
const MILLIS_PER_DAY: i64 = 86_400_000;
const HUNDRED_PERCENT: u32 = 100;

/// One provider's prices by model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::config) struct Prices {
    /// By the model's name.
    pub(in crate::config) exact: SortedMap<String, PriceTable>,
    /// By a pattern for it, the longest first.
    pub(in crate::config) patterns: Vec<(Pattern, PriceTable)>,
}

impl Prices {
    pub(in crate::config) fn find(&self, model: &str) -> Option<&PriceTable> {
        self.exact.get(model).or_else(|| {
            let found = self.patterns.iter().find(|(p, _)| p.matches(model));
            found.map(|(_, table)| table)
        })
    }
}

/// The prices of each provider that has any.
pub(super) fn compile(check: &mut Check, document: &Document) -> SortedMap<String, Prices> {
    let mut all: SortedMap<String, Prices> = SortedMap::new();
    let root = Trail::Root.name("prices");
    for (name, prices) in document.prices.iter() {
        let path = root.name(name);
        let Some((provider, model)) = name.split_once('/') else {
            let hint = "write [prices.\"provider/model\"]";
            check.0.add(&path, "names no provider", hint);
            continue;
        };
        let Some(discount) = discount(document, provider) else {
            unknown_provider(check, &path, document, provider);
            continue;
        };
        if prices.0.is_empty() {
            check.0.add(
                &path,
                "holds no prices",
                "leave it out, or write input and output",
            );
        }
        let one = prices.0.len() == 1;
        let table = prices.0.iter().enumerate().map(|(index, price)| {
            let path = if one { path } else { path.index(index) };
            check.price(&path, price, discount)
        });
        let table = PriceTable::new(table.collect());
        let of_provider = all.get_or_default(provider.to_owned());
        if model.contains('*') {
            of_provider.patterns.push((Pattern::new(model), table));
        } else {
            of_provider.exact.insert(model.to_owned(), table);
        }
    }
    for prices in all.values_mut() {
        // The longest pattern is the most exact one; the text decides between equals.
        prices
            .patterns
            .sort_by(|(a, _), (b, _)| (b.as_str().len(), a).cmp(&(a.as_str().len(), b)));
    }
    all
}

pub(super) fn unknown_provider(
    check: &mut Check,
    path: &Trail<'_>,
    document: &Document,
    provider: &str,
) {
    let problem = format!("no provider is named {}", secrets::shown(provider));
    let mut names: Vec<&str> = document.providers.iter().map(|(name, _)| name).collect();
    if !names.contains(&SANDBOX) {
        names.push(SANDBOX);
    }
    let hint = format!("configured are {}", names.join(", "));
    check.0.add(path, problem, hint);
}

/// The provider's discount in percent; none where there is no such provider.
fn discount(document: &Document, provider: &str) -> Option<u32> {
    match document.providers.find(provider) {
        Some(provider) => Some(provider.discount_percent.unwrap_or(0).min(HUNDRED_PERCENT)),
        None => (provider == SANDBOX).then_some(0),
    }
}

/// Reads one set of rates, whichever document holds it.
struct RatesReader<'a> {
    path: &'a Trail<'a>,
    kinds: [(&'static str, Option<&'a str>); 9],
    discount: u32,
}

impl RatesReader<'_> {
    fn read(&self, check: &mut Check, name: &str) -> Option<NanoUsd> {
        let (_, text) = self.kinds.iter().find(|(kind, _)| *kind == name)?;
        let amount = check.usd(&self.path.name(name), (*text)?);
        Some(discounted(amount, self.discount))
    }

    /// Every kind that is not given costs what the kind costs that it is a part of.
    /// In a tier, a kind that has a price of its own in `base` keeps that.
    fn all(&self, check: &mut Check, base: Option<&Rates>) -> Rates {
        type Kind = fn(&Rates) -> NanoUsd;
        let mut read = |name: &str, kind: Kind, whole: Kind, whole_rate: NanoUsd| {
            let own = base.filter(|base| kind(base) != whole(base)).map(kind);
            self.read(check, name).or(own).unwrap_or(whole_rate)
        };
        let none: Kind = |_| NanoUsd::ZERO;
        let (input_of, output_of): (Kind, Kind) = (|r| r.input, |r| r.output);
        let input = read("input", input_of, none, NanoUsd::ZERO);
        let output = read("output", output_of, none, NanoUsd::ZERO);
        let write_of: Kind = |r| r.cache_write_5m;
        let cache_write_5m = read("cache_write_5m", write_of, input_of, input);
        Rates {
            input,
            input_cached: read("input_cached", |r| r.input_cached, input_of, input),
            cache_write_5m,
            cache_write_1h: read(
                "cache_write_1h",
                |r| r.cache_write_1h,
                write_of,
                cache_write_5m,
            ),
            input_audio: read("input_audio", |r| r.input_audio, input_of, input),
            input_image: read("input_image", |r| r.input_image, input_of, input),
            output,
            reasoning: read("reasoning", |r| r.reasoning, output_of, output),
            output_audio: read("output_audio", |r| r.output_audio, output_of, output),
        }
    }
}

impl Check {
    fn price(&mut self, path: &Trail<'_>, document: &PriceDocument, discount: u32) -> Price {
        let reader = RatesReader {
            path,
            kinds: document.kinds(),
            discount,
        };
        let others = [
            ("per_request", &document.per_request),
            ("per_image", &document.per_image),
            ("per_million_characters", &document.per_million_characters),
            ("per_second", &document.per_second),
        ];
        if document.input.is_none() && others.iter().all(|(_, text)| text.is_none()) {
            let hint =
                "write input = \"0.15\", in dollars for a million tokens; \"0\" where it is free";
            self.0.add(path, "has no price for input", hint);
        }
        let rates = reader.all(self, None);
        let [per_request, image, characters, second] = others.map(|(name, text)| {
            let amount = text.as_deref().map(|text| self.usd(&path.name(name), text));
            discounted(amount.unwrap_or(NanoUsd::ZERO), discount)
        });
        Price {
            effective_from: self.day(path, document.effective_from.as_deref()),
            per_request,
            units: UnitRates {
                image,
                characters,
                second,
            },
            rates,
            tiers: self.tiers(path, document, &rates, discount),
        }
    }

    fn tiers(
        &mut self,
        path: &Trail<'_>,
        document: &PriceDocument,
        base: &Rates,
        discount: u32,
    ) -> Vec<Tier> {
        let mut tiers: Vec<Tier> = Vec::new();
        for (index, tier) in document.above.iter().enumerate() {
            let within = path.name("above");
            let path = within.index(index);
            let reader = RatesReader {
                path: &path,
                kinds: tier.kinds(),
                discount,
            };
            if tier.input_tokens.is_none() {
                let hint = "write input_tokens = 200000";
                self.0
                    .add(&path, "does not say above how many tokens", hint);
            }
            tiers.push(Tier {
                above: Tokens::new(tier.input_tokens.unwrap_or(0)),
                rates: reader.all(self, Some(base)),
            });
        }
        tiers.sort_by_key(|tier| tier.above);
        tiers
    }

    pub(super) fn usd(&mut self, path: &Trail<'_>, text: &str) -> NanoUsd {
        self.dollars(path, text).unwrap_or(NanoUsd::ZERO)
    }

    /// The amount, unless an issue says what is wrong with it.
    pub(super) fn dollars(&mut self, path: &Trail<'_>, text: &str) -> Option<NanoUsd> {
        let parsed = NanoUsd::parse_usd(text).map_err(|error| {
            let (problem, hint) = match error.to_string().split_once("; ") {
                Some((problem, hint)) => (problem.to_owned(), hint.to_owned()),
                None => (error.to_string(), String::new()),
            };
            let problem = format!("{} {problem}", secrets::shown(text));
            self.0.add(path, problem, hint);
        });
        parsed.ok()
    }

    fn day(&mut self, path: &Trail<'_>, written: Option<&str>) -> Timestamp {
        let Some(text) = written else {
            return Timestamp::from_micros(i64::MIN);
        };
        parse_day(text).unwrap_or_else(|| {
            let problem = format!("{} is not a day", secrets::shown(text));
            let hint = "write year, month and day, such as \"2026-11-21\"";
            self.0.add(&path.name("effective_from"), problem, hint);
            Timestamp::default()
        })
    }
}

/// What is left of an amount, rounded up.
fn discounted(amount: NanoUsd, percent: u32) -> NanoUsd {
    let rest = i128::from(HUNDRED_PERCENT.saturating_sub(percent));
    let scaled = i128::from(amount.as_nanos()).saturating_mul(rest);
    let rounded = scaled.saturating_add(99).div_euclid(100);
    NanoUsd::from_nanos(i64::try_from(rounded).unwrap_or(i64::MAX))
}

/// Midnight UTC of a day written as `2026-11-21`. Follows Howard Hinnant's `days_from_civil`.
fn parse_day(text: &str) -> Option<Timestamp> {
    let mut parts = text.splitn(3, '-');
    let mut number = |digits: usize| -> Option<i64> {
        let part = parts.next()?;
        let plain = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse().ok())?
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let date = CivilDate {
        year,
        month: u8::try_from(month).ok()?,
        day: u8::try_from(day).ok()?,
    };
    let shifted_year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = month.checked_add(9)?.rem_euclid(12);
    let day_of_year = shifted_month
        .checked_mul(153)?
        .checked_add(2)?
        .div_euclid(5)
        .checked_add(day)?
        .checked_sub(1)?;
    let day_of_era = year_of_era
        .checked_mul(365)?
        .checked_add(year_of_era.div_euclid(4))?
        .checked_sub(year_of_era.div_euclid(100))?
        .checked_add(day_of_year)?;
    let days = era
        .checked_mul(146_097)?
        .checked_add(day_of_era)?
        .checked_sub(DAYS_TO_EPOCH)?;
    let midnight = Timestamp::from_millis(days.checked_mul(MILLIS_PER_DAY)?);
    // A day that does not exist comes back as another one.
    (midnight.date() == date).then_some(midnight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_the_calendar_has_them() {
        for day in [
            "1970-01-01",
            "2000-02-29",
            "2024-02-29",
            "2026-11-21",
            "2100-12-31",
        ] {
            assert_eq!(parse_day(day).unwrap().date().to_string(), day);
        }
        for wrong in [
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-1-1",
            "today",
            "2026-11-21-",
        ] {
            assert_eq!(parse_day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_discount_rounds_up() {
        assert_eq!(
            discounted(NanoUsd::from_nanos(10), 25),
            NanoUsd::from_nanos(8)
        );
        assert_eq!(
            discounted(NanoUsd::from_nanos(10), 0),
            NanoUsd::from_nanos(10)
        );
        assert_eq!(discounted(NanoUsd::from_nanos(10), 100), NanoUsd::ZERO);
    }
}
