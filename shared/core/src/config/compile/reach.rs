//! What pinned callers can reach: no route may lead them nowhere, and none leads them out.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_units::{OrgId, SortedMap};

use crate::config::Entries;
use crate::config::compiled::Route;
use crate::config::document::NotifyDocument;
use crate::config::issue::{Issue, Trail};
use crate::config::pattern;
use crate::config::scopes::{Level, Org};
use crate::residency::{Refusal, Residency};

type Routes = SortedMap<String, Arc<Route>>;

/// Every route that a pinned caller could ask for and none of whose targets it may reach, and every receiver of its
/// events of whom nobody says where it is.
pub(super) fn dead_ends(
    orgs: &BTreeMap<OrgId, Org>,
    routes: &Routes,
    receivers: &Entries<NotifyDocument>,
) -> Vec<Issue> {
    let mut issues = Vec::new();
    each_pin(orgs, |path, residency, levels| {
        let unknown = receivers.iter().filter(|(_, one)| one.country.is_none());
        for (name, _) in unknown.filter(|_| residency.pin().is_some()) {
            issues.push(Issue {
                path: path.path(),
                problem: format!("→ notify.{name} (place: unknown)"),
                hint: format!(
                    "write notify.{name}.country; it then hears of the regions that it is in"
                ),
            });
        }
        for (name, route) in reachable(routes, levels) {
            let Err(refusals) = residency.course(Arc::clone(route)) else {
                continue;
            };
            for (index, refusal) in refusals.iter().enumerate() {
                issues.push(Issue {
                    path: path.path(),
                    problem: way(name, index, refusal),
                    hint: format!(
                        "add a target that is in the region, or leave {name} out of its models"
                    ),
                });
            }
        }
    });
    issues
}

/// The targets that pinned callers never reach, though their routes name them: what an operator should know.
pub(in crate::config) fn closed(orgs: &BTreeMap<OrgId, Org>, routes: &Routes) -> Vec<Issue> {
    let mut notices = Vec::new();
    each_pin(orgs, |path, residency, levels| {
        for (name, route) in reachable(routes, levels) {
            let Ok(course) = residency.course(Arc::clone(route)) else {
                continue;
            };
            for (index, _, refusal) in course.closed() {
                notices.push(Issue {
                    path: path.path(),
                    problem: way(name, index, &refusal),
                    hint: "its requests never go there".to_owned(),
                });
            }
        }
    });
    notices
}

fn way(name: &str, index: usize, refusal: &Refusal) -> String {
    format!("→ models.{name} → targets[{index}] {refusal}")
}

/// Calls `see` for each level that is pinned or whose requests hold health data: where that is written, what holds
/// there, and the levels, outermost first.
fn each_pin(orgs: &BTreeMap<OrgId, Org>, mut see: impl FnMut(&Trail<'_>, &Residency, &[&Level])) {
    let root = Trail::Root.name("orgs");
    for (id, org) in orgs {
        let path = root.name(id.as_str());
        note(&path, &[&org.level], &mut see);
        for (id, team) in &org.teams {
            let within = path.name("teams");
            let path = within.name(id.as_str());
            note(&path, &[&org.level, &team.level], &mut see);
            for (id, app) in &team.apps {
                let within = path.name("apps");
                let path = within.name(id.as_str());
                note(&path, &[&org.level, &team.level, app], &mut see);
            }
        }
        for (id, user) in &org.users {
            let within = path.name("users");
            let path = within.name(id.as_str());
            note(&path, &[&org.level, user], &mut see);
        }
    }
}

/// What is inherited was seen above.
fn note(
    path: &Trail<'_>,
    levels: &[&Level],
    see: &mut impl FnMut(&Trail<'_>, &Residency, &[&Level]),
) {
    let Some(own) = levels.last().map(|level| &level.held) else {
        return;
    };
    if own.pin.is_none() && !own.is_phi {
        return;
    }
    let pin = levels.iter().rev().find_map(|level| level.held.pin.clone());
    let is_phi = levels.iter().any(|level| level.held.is_phi);
    let name = if own.pin.is_some() { "region" } else { "data" };
    see(&path.name(name), &Residency::new(pin, is_phi), levels);
}

/// The routes that every one of these levels lets through.
fn reachable<'a>(
    routes: &'a Routes,
    levels: &[&Level],
) -> impl Iterator<Item = (&'a String, &'a Arc<Route>)> {
    routes.iter().filter(move |(name, _)| {
        levels.iter().all(|level| {
            let mut patterns = level.models.iter();
            level.models.is_empty() || patterns.any(|found| pattern::matches(found.as_str(), name))
        })
    })
}
