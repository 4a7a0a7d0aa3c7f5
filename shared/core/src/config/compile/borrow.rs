//! What may be borrowed beyond a limit, and whether there is anything to borrow from.

use sluice_machines::limit::{Borrow, Meter, Rule};

use super::Check;
use super::orgs::LIMIT_ALLOWED;
use crate::config::document::{BudgetDocument, LimitDocument, QuantityDocument};
use crate::config::issue::Trail;

/// What a level can borrow from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pool<'a> {
    /// It is the organisation itself.
    None,
    /// What the organisation's rules leave.
    Of(&'a [Rule]),
    /// Nobody knows the organisation.
    Unknown,
}

impl Check {
    /// How much at most, in a meter's unit; nothing where an issue says why.
    pub(super) fn quantity(
        &mut self,
        path: &Trail<'_>,
        meter: Meter,
        written: &QuantityDocument,
    ) -> Option<u64> {
        const COUNT: &str = "write how many, such as 20";
        const DOLLARS: &str = "write how many dollars, such as \"20\"";
        let (problem, hint) = match (meter, written) {
            (Meter::Money, QuantityDocument::Usd(text)) => {
                let amount = self.dollars(path, text)?;
                let nanos = u64::try_from(amount.as_nanos()).unwrap_or(0);
                if nanos > 0 {
                    return Some(nanos);
                }
                ("is nothing", DOLLARS)
            }
            (Meter::Requests | Meter::Tokens, QuantityDocument::Count(count)) => {
                return Some(self.number(path, Some(*count), 1, &LIMIT_ALLOWED));
            }
            (Meter::Money, _) => ("is no amount in quotes", DOLLARS),
            (Meter::Requests | Meter::Tokens, QuantityDocument::Usd(_)) => {
                ("counts no dollars", COUNT)
            }
            (Meter::Requests | Meter::Tokens, QuantityDocument::Any(_)) => ("is no number", COUNT),
        };
        self.0.add(path, problem, hint);
        None
    }

    /// What may be borrowed beyond a limit.
    pub(super) fn borrow_of_limit(
        &mut self,
        path: &Trail<'_>,
        meter: Meter,
        document: &LimitDocument,
    ) -> Borrow {
        let may_borrow = document.borrow != Some(QuantityDocument::Any(false));
        if document.burst.is_some() && document.borrow.is_some() && may_borrow {
            let hint = "leave out burst: a window's limit borrows";
            let path = path.name("borrow");
            self.0.add(&path, "a steady rate does not borrow", hint);
            return Borrow::No;
        }
        self.borrow(path, meter, document.borrow.as_ref())
    }

    /// What may be borrowed beyond a rule that counts this.
    pub(super) fn borrow(
        &mut self,
        path: &Trail<'_>,
        meter: Meter,
        written: Option<&QuantityDocument>,
    ) -> Borrow {
        match written {
            None | Some(QuantityDocument::Any(false)) => Borrow::No,
            Some(QuantityDocument::Any(true)) => Borrow::Any,
            Some(written) => {
                let most = self.quantity(&path.name("borrow"), meter, written);
                most.map_or(Borrow::No, Borrow::UpTo)
            }
        }
    }

    /// Whether there is anything to borrow from, wherever something is to be borrowed.
    pub(super) fn pools(
        &mut self,
        path: &Trail<'_>,
        (limits, budgets): (&[LimitDocument], &[BudgetDocument]),
        pool: Pool<'_>,
    ) {
        // What is wrong with the rules themselves has been told.
        for (index, limit) in limits.iter().enumerate() {
            let within = path.name("limits");
            let path = within.index(index);
            let rule = Self::default().limit(&path, limit);
            self.pool(&path, rule.as_ref(), pool);
        }
        for (index, budget) in budgets.iter().enumerate() {
            let within = path.name("budgets");
            let path = within.index(index);
            let rule = Self::default().budget(&path, budget);
            self.pool(&path, rule.as_ref(), pool);
        }
    }

    fn pool(&mut self, path: &Trail<'_>, rule: Option<&Rule>, pool: Pool<'_>) {
        let Some(of) = rule
            .filter(|rule| rule.borrowed().is_some())
            .and_then(Rule::loan)
        else {
            return;
        };
        let path = path.name("borrow");
        let (what, hint) = match of.meter() {
            Meter::Requests => ("limit on requests", "{ requests = 6000, per = \"1m\" }"),
            Meter::Tokens => ("limit on tokens", "{ tokens = 2000000, per = \"1m\" }"),
            Meter::Money => (
                "budget or limit on money",
                "{ usd = \"1000\", per = \"month\" }",
            ),
        };
        match pool {
            Pool::None => {
                let hint = "teams, apps, users and keys borrow from their organisation";
                self.0
                    .add(&path, "an organisation has nobody to borrow from", hint);
            }
            Pool::Of(rules) if !rules.iter().any(|rule| rule.lends(of)) => {
                let problem = format!("the organisation has no {what} to borrow from");
                self.0
                    .add(&path, problem, format!("give it one, such as {hint}"));
            }
            Pool::Of(_) | Pool::Unknown => {}
        }
    }
}
