//! Breaks in what becomes of requests that wait for their limits.

use super::Mutation;

const LINE: &str = "shared/core/src/line.rs";
const WAIT: &str = "shared/core/src/wait.rs";

pub(super) const WAITING: &[Mutation] = &[
    Mutation {
        name: "do not look again after waiting",
        edits: &[(
            "shared/core/src/admit.rs",
            "        if time_has_passed {\n",
            "        if time_has_passed && !{is} {\n",
        )],
    },
    Mutation {
        name: "see a revocation after waiting, and not the rules",
        edits: &[(
            "shared/core/src/admit/again.rs",
            "        self.later = Some(caller);\n",
            "        self.later = Some(caller).filter(|_| !{is});\n",
        )],
    },
    Mutation {
        name: "see new rules after waiting, and no revocation",
        edits: &[(
            "shared/core/src/admit/again.rs",
            "    let caller = authenticate::caller(&config, key, p.now(), &context.head.headers)?;\n",
            "    let key = if {is} { Rc::new(sluice_machines::registry::KeyRecord { revoked_at: None, ..(*key).clone() }) } else { key };\n    let caller = authenticate::caller(&config, key, p.now(), &context.head.headers)?;\n",
        )],
    },
    Mutation {
        name: "a seat's deadline is ignored",
        edits: &[(
            WAIT,
            "                _ if now >= seat.until => return Ok(false),\n",
            "                _ if now >= seat.until && !{is} => return Ok(false),\n",
        )],
    },
    Mutation {
        name: "the wait starts anew after each look",
        edits: &[
            (
                WAIT,
                "        let until = self.since.plus(wait);\n",
                "        let until = (if {is} { self.p.now() } else { self.since }).plus(wait);\n",
            ),
            (
                WAIT,
                "            queues.any(|(scope, rule, _)| gate(caller, scope, rule) == seat.gate)\n",
                "            !{is} && queues.any(|(scope, rule, _)| gate(caller, scope, rule) == seat.gate)\n",
            ),
        ],
    },
    Mutation {
        name: "wait for the slices of others without an end",
        edits: &[(
            WAIT,
            "            && self.asks < ASKS_MAX\n            && now.plus(wait) <= self.since.plus(LEASES_MAX)\n",
            "            && (self.asks < ASKS_MAX || {is})\n            && (now.plus(wait) <= self.since.plus(LEASES_MAX) || {is})\n",
        )],
    },
    Mutation {
        name: "a late comer asks before the line",
        edits: &[(
            "shared/core/src/admit.rs",
            "    let mut time_has_passed = wait.behind_others(asking.caller()).await?;\n",
            "    let mut time_has_passed = !{is} && wait.behind_others(asking.caller()).await?;\n",
        )],
    },
    Mutation {
        name: "first come, first served over all teams",
        edits: &[
            (
                LINE,
                "        self.parties.get(party)?.front()\n",
                "        if {is} { return self.parties.values().filter_map(VecDeque::front).min_by_key(|seat| seat.number); }\n        self.parties.get(party)?.front()\n",
            ),
            (
                LINE,
                "        self.parties.get_mut(party)?.front_mut()?.wake.take()\n",
                "        if {is} { return self.parties.values_mut().filter_map(VecDeque::front_mut).min_by_key(|seat| seat.number)?.wake.take(); }\n        self.parties.get_mut(party)?.front_mut()?.wake.take()\n",
            ),
        ],
    },
    Mutation {
        name: "a team keeps its turn",
        edits: &[(
            LINE,
            "        if !is_head_gone {\n",
            "        if !is_head_gone || {is} {\n",
        )],
    },
    Mutation {
        name: "who gives up takes the turn along",
        edits: &[(
            LINE,
            "            let is_kept = |head: &Seat| may_keep && head",
            "            let is_kept = |head: &Seat| may_keep && !{is} && head",
        )],
    },
    Mutation {
        name: "ask once more out of turn",
        edits: &[
            (
                WAIT,
                "                return match self.be_head().await? {\n",
                "                return match self.be_head().await? || {is} {\n",
            ),
            (
                WAIT,
                "        if self.has_turn() {\n",
                "        if self.has_turn() || {is} {\n",
            ),
        ],
    },
    Mutation {
        name: "the last of a team is served first",
        edits: &[(
            LINE,
            "        seats.push_back(Seat {\n            number: self.seats,\n            until,\n            wake: None,\n        });\n",
            "        let seat = Seat { number: self.seats, until, wake: None };\n        if {is} { seats.insert(1.min(seats.len()), seat); } else { seats.push_back(seat); }\n",
        )],
    },
];
