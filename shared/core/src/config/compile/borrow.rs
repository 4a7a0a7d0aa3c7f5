//! What may be borrowed beyond a limit, and whether there is anything to borrow from.

use sluice_machines::limit::{Borrow, LoanOf, Rule};

use super::Check;
use super::orgs::LIMIT_ALLOWED;
use crate::config::document::{BorrowDocument, BudgetDocument, LimitDocument};
use crate::config::issue::Path;

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
    /// What may be borrowed beyond a limit on requests or tokens.
    pub(super) fn borrow_of_limit(&mut self, path: &Path, document: &LimitDocument) -> Borrow {
        const HINT: &str = "write borrow = true, or at most how many: borrow = 20";
        let path = path.name("borrow");
        match &document.borrow {
            None | Some(BorrowDocument::Any(false)) => Borrow::No,
            Some(_) if document.burst.is_some() => {
                let hint = "leave out burst: a window's limit borrows";
                self.0.add(&path, "a steady rate does not borrow", hint);
                Borrow::No
            }
            Some(BorrowDocument::Any(true)) => Borrow::Any,
            Some(BorrowDocument::Count(count)) => {
                Borrow::UpTo(self.number(&path, Some(*count), 1, &LIMIT_ALLOWED))
            }
            Some(BorrowDocument::Usd(_)) => {
                self.0.add(&path, "counts no dollars", HINT);
                Borrow::No
            }
        }
    }

    /// What may be borrowed beyond a budget.
    pub(super) fn borrow_of_budget(&mut self, path: &Path, document: &BudgetDocument) -> Borrow {
        const HINT: &str = "write borrow = true, or at most how many dollars: borrow = \"20\"";
        let path = path.name("borrow");
        match &document.borrow {
            None | Some(BorrowDocument::Any(false)) => Borrow::No,
            Some(BorrowDocument::Any(true)) => Borrow::Any,
            Some(BorrowDocument::Usd(text)) => {
                let most = self.usd(&path, text).as_nanos();
                match u64::try_from(most) {
                    Ok(most) if most > 0 => Borrow::UpTo(most),
                    _ => Borrow::No,
                }
            }
            Some(BorrowDocument::Count(_)) => {
                self.0.add(&path, "is no amount in quotes", HINT);
                Borrow::No
            }
        }
    }

    /// Whether there is anything to borrow from, wherever something is to be borrowed.
    pub(super) fn pools(
        &mut self,
        path: &Path,
        (limits, budgets): (&[LimitDocument], &[BudgetDocument]),
        pool: Pool<'_>,
    ) {
        // What is wrong with the rules themselves has been told.
        for (index, limit) in limits.iter().enumerate() {
            let path = path.name("limits").index(index);
            let rule = Self::default().limit(&path, limit);
            self.pool(&path, rule.as_ref(), pool);
        }
        for (index, budget) in budgets.iter().enumerate() {
            let path = path.name("budgets").index(index);
            let rule = Self::default().budget(&path, budget);
            self.pool(&path, rule.as_ref(), pool);
        }
    }

    fn pool(&mut self, path: &Path, rule: Option<&Rule>, pool: Pool<'_>) {
        let Some(of) = rule
            .filter(|rule| rule.borrowed().is_some())
            .and_then(Rule::loan)
        else {
            return;
        };
        let path = path.name("borrow");
        let (what, hint) = match of {
            LoanOf::Requests(_) => ("limit on requests", "{ requests = 6000, per = \"1m\" }"),
            LoanOf::Tokens(_) => ("limit on tokens", "{ tokens = 2000000, per = \"1m\" }"),
            LoanOf::Money(_) => ("budget", "{ usd = \"1000\", per = \"month\" }"),
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
