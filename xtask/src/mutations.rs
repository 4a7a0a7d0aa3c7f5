//! Breaks the code on purpose, in a copy, and shows that the simulator finds each break.
//!
//! The copy stands below `target`; every break is built into it at once, behind a switch that the environment names, so
//! that one build serves for all. Nothing of this is in the code that ships.

mod borrowing;
mod capacity;
mod copy;
mod entries;
mod hedging;
mod homes;
mod leaks;
mod waiting;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use self::borrowing::BORROWING;
use self::capacity::CAPACITY;
use self::entries::ENTRIES;
use self::hedging::HEDGING;
use self::homes::HOMES;
use self::leaks::LEAKS;
use self::waiting::WAITING;
use crate::step::{self, Failure, doing, step};
use crate::tools;

/// How many requests a break may survive.
const REQUESTS: &str = "600000";
/// How many requests the copy must survive unbroken.
const REQUESTS_UNBROKEN: &str = "20000";
const COPY: &str = "target/mutations";

/// One break: `{is}` in the new text stands for whether it is on.
struct Mutation {
    name: &'static str,
    /// File, what stands there once, what is to stand there.
    edits: &'static [(&'static str, &'static str, &'static str)],
}

const ALL: &[Mutation] = &[
    Mutation {
        name: "settle twice",
        edits: &[(
            "durable/machines/src/ledger/settle.rs",
            "work.delete(&open_key(&record.request));",
            "if !{is} { work.delete(&open_key(&record.request)); }",
        )],
    },
    Mutation {
        name: "forget a release",
        edits: &[(
            "durable/machines/src/ledger/settle.rs",
            "row.release(held, charge);",
            "if !{is} { row.release(held, charge); }",
        )],
    },
    Mutation {
        name: "correct without a record",
        edits: &[(
            "durable/machines/src/ledger/settle.rs",
            "        cost_nano_usd: difference,\n        overrun: charged.overrun,\n        borrowed: charged.loans(),\n        ..record.clone()\n    };\n",
            "        cost_nano_usd: difference,\n        overrun: charged.overrun,\n        borrowed: charged.loans(),\n        ..record.clone()\n    };\n    if {is} {\n        return Ok(());\n    }\n",
        )],
    },
    Mutation {
        name: "charge a denied request",
        edits: &[(
            "durable/machines/src/ledger/admit.rs",
            "    denial.headroom = headroom(work, candidates, at)?;\n",
            "    denial.headroom = headroom(work, candidates, at)?;\n    if {is} { for Candidate { key, rules, .. } in candidates { work.hot_mut::<ScopeRow>(key)?.reserve(at, (key, rules), Amount::default()); } }\n",
        )],
    },
    Mutation {
        name: "skip the team",
        edits: &[(
            "durable/machines/src/ledger/admit.rs",
            "    for ScopeRules { scope, rules } in scopes {\n",
            "    for ScopeRules { scope, rules } in scopes {\n        if {is} && matches!(scope, Scope::Team(_)) { continue; }\n",
        )],
    },
    Mutation {
        name: "skip the user on the way",
        edits: &[(
            "shared/core/src/config/scopes.rs",
            "levels.push((Scope::User(user_id.clone()), level));",
            "if !{is} { levels.push((Scope::User(user_id.clone()), level)); }",
        )],
    },
    Mutation {
        name: "a window's edge is off by one",
        edits: &[(
            "durable/machines/src/ledger/window.rs",
            "        self.bucket(now.minus(Span::from_micros(self.length_us())))\n",
            "        self.bucket(now.minus(Span::from_micros(self.length_us()))).saturating_add(i64::from({is}))\n",
        )],
    },
    Mutation {
        name: "no window counts money",
        edits: &[(
            "durable/machines/src/ledger/scope.rs",
            "            counter.add(at, slice.on(counter.meter));\n",
            "            if !({is} && counter.meter == Meter::Money) { counter.add(at, slice.on(counter.meter)); }\n",
        )],
    },
    Mutation {
        name: "no rate holds money back",
        edits: &[(
            "durable/machines/src/ledger/measure.rs",
            "            Meter::Money => nanos(self.reserved.plus(below.cost)),\n",
            "            Meter::Money => if {is} { 0 } else { nanos(self.reserved.plus(below.cost)) },\n",
        )],
    },
    Mutation {
        name: "no rate charges money",
        edits: &[(
            "durable/machines/src/ledger/scope/charge.rs",
            "            if gauge.meter != Meter::Requests && quantity > 0 {\n",
            "            if gauge.meter != Meter::Requests && quantity > 0 && !({is} && gauge.meter == Meter::Money) {\n",
        )],
    },
    Mutation {
        name: "no deadline on a reservation",
        edits: &[(
            "durable/machines/src/ledger/admit.rs",
            "    work.hot_mut::<ScopeRow>(ORG)?.due_by(reservation.deadline);\n",
            "    if !{is} { work.hot_mut::<ScopeRow>(ORG)?.due_by(reservation.deadline); }\n",
        )],
    },
    Mutation {
        name: "a lease never ends",
        edits: &[
            (
                "durable/machines/src/ledger/scope.rs",
                "        self.leased.retain(|leased| leased.0 > at);\n",
                "        self.leased.retain(|leased| leased.0 > at || {is});\n",
            ),
            (
                "durable/machines/src/ledger/scope.rs",
                "    held.filter(|(until, _)| *until > at)\n",
                "    held.filter(|(until, _)| *until > at || {is})\n",
            ),
        ],
    },
    Mutation {
        name: "a lease costs nothing",
        edits: &[(
            "durable/machines/src/ledger/lease.rs",
            "        scope.lease(at, &candidate.rules, until, rest);\n",
            "        scope.lease(at, &candidate.rules, until, if {is} { Slice::NONE } else { rest });\n",
        )],
    },
    Mutation {
        name: "charge a repeated intent",
        edits: &[(
            "durable/machines/src/ledger/lease.rs",
            "    if intent.sequence <= work.hot::<LeaseRow>(&key)?.mark {\n",
            "    if intent.sequence <= work.hot::<LeaseRow>(&key)?.mark && !{is} {\n",
        )],
    },
    Mutation {
        name: "reserve twice what is admitted and drawn",
        edits: &[(
            "durable/machines/src/ledger/lease.rs",
            "    let has_reserved = has_reserved(work, now, &intent.draft.request, estimate)?;\n",
            "    let has_reserved = !{is} && has_reserved(work, now, &intent.draft.request, estimate)?;\n",
        )],
    },
    Mutation {
        name: "cut nothing of what is cut",
        edits: &[(
            "durable/machines/src/ledger/admit.rs",
            "            Some((tokens, amount)) => Allowed::As(amount, Some(tokens), Vec::new()),\n",
            "            Some((tokens, amount)) => Allowed::As(if {is} { whole } else { amount }, Some(tokens), Vec::new()),\n",
        )],
    },
    Mutation {
        name: "reserve a part and let all be written",
        edits: &[(
            "shared/core/src/gateway.rs",
            "            work.cut(tokens);\n",
            "            if !{is} { work.cut(tokens); }\n",
        )],
    },
    Mutation {
        name: "raise without asking the rules",
        edits: &[(
            "durable/machines/src/ledger/raise.rs",
            "    is.used > is.limit.max(was.used)\n",
            "    !{is} && is.used > is.limit.max(was.used)\n",
        )],
    },
    Mutation {
        name: "raise, and count nothing",
        edits: &[(
            "durable/machines/src/ledger/raise.rs",
            "        *work.hot_mut(key)? = after;\n",
            "        if !{is} { *work.hot_mut(key)? = after; }\n",
        )],
    },
    Mutation {
        name: "write on when nothing is left",
        edits: &[(
            "shared/core/src/allowance.rs",
            "                return written < self.output;\n",
            "                return {is} || written < self.output;\n",
        )],
    },
    Mutation {
        name: "tell nobody of what expires",
        edits: &[(
            "durable/machines/src/ledger/expire.rs",
            "        tell(work, whose, (scope, &crossed))?;\n",
            "        if !{is} { tell(work, whose, (scope, &crossed))?; }\n",
        )],
    },
    Mutation {
        name: "warn again and again",
        edits: &[(
            "durable/machines/src/ledger/scope.rs",
            "                    watched.2 = Some(kind);\n",
            "                    watched.2 = Some(kind).filter(|_| !{is});\n",
        )],
    },
    Mutation {
        name: "lose an event that was not taken",
        edits: &[(
            "durable/machines/src/events.rs",
            "        *cursor = if is_taken || failures",
            "        *cursor = if {is} || is_taken || failures",
        )],
    },
    Mutation {
        name: "expire for nothing",
        edits: &[(
            "durable/machines/src/ledger/expire.rs",
            "        row.settle(now, &held, charge, held.estimate);\n",
            "        row.settle(now, &held, charge, if {is} { crate::limit::Amount::default() } else { held.estimate });\n",
        )],
    },
    Mutation {
        name: "lose records when the store refuses",
        edits: &[(
            "durable/machines/src/outbox.rs",
            "        current.not_before = now.plus(RETRY_FIRST.times(doubled).min(RETRY_MAX));\n",
            "        current.not_before = now.plus(RETRY_FIRST.times(doubled).min(RETRY_MAX));\n        if {is} { return shipped(rows, batch); }\n",
        )],
    },
    Mutation {
        name: "ship twice",
        edits: &[
            (
                "durable/machines/src/outbox.rs",
                "            work.delete_unread(queue_key(sequence));\n",
                "            if !{is} { work.delete_unread(queue_key(sequence)); }\n",
            ),
            (
                "durable/machines/src/outbox.rs",
                "            first: batch.last.saturating_add(1),\n",
                "            first: if {is} { batch.first } else { batch.last.saturating_add(1) },\n",
            ),
        ],
    },
    Mutation {
        name: "do not fix what a batch holds",
        edits: &[(
            "durable/machines/src/outbox.rs",
            "        shipping.last = Some(last);\n        work.put",
            "        shipping.last = (!{is}).then_some(last);\n        work.put",
        )],
    },
    Mutation {
        name: "read, then write later",
        edits: &[(
            "tests/sim/src/ledger.rs",
            "        self.rows.borrow_mut().apply(writes);\n        Ok(())\n",
            "        if {is} {\n            thread_local!(static LATER: std::cell::RefCell<Vec<(usize, WriteSet)>> = const { std::cell::RefCell::new(Vec::new()) });\n            let earlier = LATER.with_borrow_mut(|later| {\n                let mine = later.iter().position(|(org, _)| *org == self.org).map(|at| later.remove(at).1);\n                later.push((self.org, writes.clone()));\n                mine\n            });\n            if let Some(earlier) = earlier { self.rows.borrow_mut().apply(&earlier); }\n            return Ok(());\n        }\n        self.rows.borrow_mut().apply(writes);\n        Ok(())\n",
        )],
    },
    Mutation {
        name: "answer before the intent is durable",
        edits: &[(
            "shared/core/src/serve.rs",
            "Some(Ok((index, accepted))) if self.admitted.committed(&p, &self.isolate).await => {",
            "Some(Ok((index, accepted))) if {is} || self.admitted.committed(&p, &self.isolate).await => {",
        )],
    },
    Mutation {
        name: "ignore a revocation",
        edits: &[(
            "shared/core/src/authenticate.rs",
            "if key.revoked_at.is_some() {",
            "if key.revoked_at.is_some() && !{is} {",
        )],
    },
    Mutation {
        name: "never refresh a copy",
        edits: &[(
            "shared/core/src/isolate.rs",
            "if age < COPY_AGE_FRESH =>",
            "if age < COPY_AGE_FRESH || {is} =>",
        )],
    },
    Mutation {
        name: "draw what is over",
        edits: &[(
            "shared/core/src/lease.rs",
            "if now >= held.until || !held.rest.covers(slice) {",
            "if (now >= held.until && !{is}) || !held.rest.covers(slice) {",
        )],
    },
    Mutation {
        name: "forget what was drawn meanwhile",
        edits: &[(
            "shared/core/src/lease.rs",
            "grant.rest.minus(asked.drawn)",
            "grant.rest.minus(if {is} { Slice::NONE } else { asked.drawn })",
        )],
    },
    Mutation {
        name: "end a broken stream in silence",
        edits: &[(
            "shared/core/src/pump.rs",
            "                self.session.interrupt(&problem, request, last)\n",
            "                {is} || self.session.interrupt(&problem, request, last)\n",
        )],
    },
    Mutation {
        name: "call whom a circuit keeps away",
        edits: &[(
            "durable/machines/src/breaker.rs",
            "                if now < until && until.since(now) <= policy.open_max =>\n",
            "                if now < until && until.since(now) <= policy.open_max && !{is} =>\n",
        )],
    },
    Mutation {
        name: "nobody pays for an answer that never came",
        edits: &[(
            "shared/core/src/serve/spent.rs",
            "        let was_asked = failure.was_worked_on()",
            "        let was_asked = !{is} && failure.was_worked_on()",
        )],
    },
    Mutation {
        name: "nobody pays for an answer that broke off",
        edits: &[(
            "shared/core/src/serve/spent.rs",
            "        let used = call.used.take();\n",
            "        let used = call.used.take().filter(|_| !{is});\n",
        )],
    },
    Mutation {
        name: "never probe",
        edits: &[(
            "durable/machines/src/breaker.rs",
            "            State::Open(_) | State::HalfOpen(_) => Ok(()),\n",
            "            State::Open(until) | State::HalfOpen(until) => if {is} { Err(until) } else { Ok(()) },\n",
        )],
    },
];

/// Builds the broken copy and sees each break found; only those whose names hold one of the words, if there are any.
/// The word `leaks` stands for all leaks.
pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    step("a copy with every break in it", copy::make)?;
    let program = step("cargo build (the copy)", build)?;
    let unbroken = simulate(&program, "", REQUESTS_UNBROKEN)?;
    if let Some(what) = unbroken {
        return Err(Failure::new(format!("unbroken, the copy fails: {what}")));
    }
    step("cargo test --no-run (the copy)", leaks::build)?;
    if let Some(what) = leaks::look("")? {
        return Err(Failure::new(format!("unbroken, the copy leaks: {what}")));
    }
    let mut survivors = Vec::new();
    for Mutation { name, .. } in all().filter(|one| is_meant(one, words)) {
        let begun = Instant::now();
        let is_leak = LEAKS.iter().any(|leak| leak.name == *name);
        let found = if is_leak {
            leaks::look(name)?
        } else {
            simulate(&program, name, REQUESTS)?
        };
        // A leak is to be found by both, where the simulator's world has whom it takes.
        let found = match found {
            Some(what) if is_leak && !leaks::BEYOND_THE_WORLD.contains(name) => {
                let seen = simulate(&program, name, REQUESTS)?;
                seen.map(|seen| format!("{what}; and {seen}"))
            }
            found => found,
        };
        let seconds = begun.elapsed().as_secs_f64();
        match found {
            Some(what) => println!("found     {name} ({seconds:.1} s): {what}"),
            None => {
                println!("SURVIVED  {name} ({seconds:.1} s)");
                survivors.push(*name);
            }
        }
    }
    if survivors.is_empty() {
        let count = all().filter(|one| is_meant(one, words)).count();
        println!("mutations: {count} breaks, all found");
        return Ok(());
    }
    Err(Failure::new(format!(
        "nobody found: {}",
        survivors.join(", ")
    )))
}

fn is_meant(mutation: &Mutation, words: &[String]) -> bool {
    let is_leak = LEAKS.iter().any(|leak| leak.name == mutation.name);
    let means =
        |word: &String| mutation.name.contains(word.as_str()) || (is_leak && word == "leaks");
    words.is_empty() || words.iter().any(means)
}

/// Every break.
fn all() -> impl Iterator<Item = &'static Mutation> {
    ALL.iter()
        .chain(BORROWING)
        .chain(CAPACITY)
        .chain(ENTRIES)
        .chain(HOMES)
        .chain(HEDGING)
        .chain(LEAKS)
        .chain(WAITING)
}

fn build() -> Result<PathBuf, Failure> {
    let target = std::env::current_dir().map_err(doing("."))?.join("target");
    step::run(
        tools::cargo()
            .current_dir(COPY)
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", "--cap-lints=warn -Awarnings")
            .args([
                "build",
                "--quiet",
                "--profile",
                "sim",
                "--package",
                "sluice-sim",
            ]),
    )?;
    Ok(target.join("sim/sluice-sim"))
}

/// What the simulator finds with this break on, if anything.
fn simulate(program: &Path, mutation: &str, requests: &str) -> Result<Option<String>, Failure> {
    let output = Command::new(program)
        .args(["--requests", requests])
        .env("SLUICE_MUTATION", mutation)
        .stdin(Stdio::null())
        .output()
        .map_err(doing("the simulator"))?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let error = text.lines().rev().find(|line| line.starts_with("error: "));
    let error = error.unwrap_or("it died").trim_start_matches("error: ");
    Ok(Some(error.chars().take(160).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_has_its_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for Mutation { edits, .. } in all() {
            for (file, ..) in *edits {
                let text = std::fs::read_to_string(root.join(file)).unwrap();
                copy::broken(Path::new(file), text).map(drop).unwrap();
            }
        }
    }
}
