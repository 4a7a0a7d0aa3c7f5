//! What clocks show in a place: enough to know where a budget's day begins.
//!
//! The rules of the world's time zones are not in here: the command line writes down what follows from them for the
//! coming years. After the last change that was written down, clocks stay as they are.

use sluice_machines::limit::{Clocks, Rule, UtcOffset};
use sluice_units::Timestamp;

/// A time zone. UTC unless something else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Zone {
    /// Before the first change.
    pub(super) first: UtcOffset,
    /// From when on what holds, in order.
    pub(super) changes: Vec<(Timestamp, UtcOffset)>,
}

impl Zone {
    /// What clocks show from this moment until they have changed once.
    pub(super) fn clocks(&self, at: Timestamp) -> Clocks {
        let passed = self.changes.partition_point(|(from, _)| *from <= at);
        let last = passed
            .checked_sub(1)
            .and_then(|last| self.changes.get(last));
        Clocks {
            offset: last.map_or(self.first, |(_, offset)| *offset),
            change: self.changes.get(passed).copied(),
        }
    }

    /// The rules as they are at this moment.
    pub(super) fn apply(&self, rules: &[Rule], at: Timestamp) -> Vec<Rule> {
        let clocks = self.clocks(at);
        rules
            .iter()
            .map(|rule| match *rule {
                Rule::Budget {
                    limit,
                    period,
                    borrow,
                    ..
                } => Rule::Budget {
                    limit,
                    period,
                    clocks,
                    borrow,
                },
                other => other,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_change_at_the_moment_that_was_written_down() {
        let minutes = UtcOffset::from_minutes;
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let zone = Zone {
            first: minutes(60),
            changes: vec![(at(100), minutes(120)), (at(200), minutes(60))],
        };
        for (seconds, offset, change) in [
            (0, 60, Some(100)),
            (99, 60, Some(100)),
            (100, 120, Some(200)),
            (199, 120, Some(200)),
            (200, 60, None),
            (9_999, 60, None),
        ] {
            let clocks = zone.clocks(at(seconds));
            assert_eq!(clocks.offset, minutes(offset), "{seconds}");
            let from = clocks.change.map(|(from, _)| from);
            assert_eq!(from, change.map(at), "{seconds}");
        }
        assert_eq!(Zone::default().clocks(at(0)), Clocks::default());
    }
}
