//! The order of a streamed answer's events, as the neutral model promises it to every encoder.

use std::collections::{BTreeMap, BTreeSet};

use sluice_wire::model::{Event, PartKind};

/// What has been said so far.
#[derive(Debug, Default)]
pub(crate) struct Order {
    started: bool,
    over: bool,
    open: BTreeMap<(u32, u32), PartKind>,
    last_part: BTreeMap<u32, u32>,
    begun: BTreeSet<u32>,
    finished: BTreeSet<u32>,
}

impl Order {
    /// Takes the next event; panics when it has no business there.
    pub(crate) fn push(&mut self, event: &Event) {
        assert!(!self.over, "{event:?} after the end");
        match event {
            Event::Start { .. } => assert!(
                !std::mem::replace(&mut self.started, true),
                "{event:?} twice"
            ),
            // A provider may fail before it begins.
            Event::Failed(_) => {}
            _ => assert!(self.started, "{event:?} before the start"),
        }
        match event {
            Event::Start { .. } | Event::Usage(_) => {}
            Event::PartStart { choice, part, kind } => self.part_starts(*choice, *part, kind),
            Event::Delta { choice, part, text } => {
                assert!(!text.is_empty(), "an empty {event:?}");
                let kind = self.part(*choice, *part, event);
                assert!(
                    !matches!(kind, PartKind::RedactedThinking { .. }),
                    "{event:?}"
                );
            }
            Event::Signature { choice, part, .. } => {
                let kind = self.part(*choice, *part, event);
                let signs = matches!(kind, PartKind::Thinking | PartKind::ToolCall { .. });
                assert!(signs, "{event:?} of {kind:?}");
            }
            Event::Annotation { choice, part, .. } => {
                assert_eq!(
                    self.part(*choice, *part, event),
                    &PartKind::Text,
                    "{event:?}"
                );
            }
            Event::Logprobs { choice, .. } => {
                self.begun.insert(*choice);
                assert!(
                    !self.finished.contains(choice),
                    "{event:?} after its choice"
                );
            }
            Event::PartEnd { choice, part } => {
                assert!(self.open.remove(&(*choice, *part)).is_some(), "{event:?}");
            }
            Event::Finish { choice, .. } => {
                assert!(self.finished.insert(*choice), "{event:?} twice");
                let open = self.open.keys().any(|(of, _)| of == choice);
                assert!(!open, "{event:?} with open parts");
            }
            Event::Failed(_) => self.over = true,
            Event::End => {
                self.over = true;
                assert!(
                    self.open.is_empty(),
                    "the end with open parts {:?}",
                    self.open
                );
                assert!(
                    self.begun.is_subset(&self.finished),
                    "{:?} never finished",
                    self.begun
                );
            }
        }
    }

    /// Whether the end has been said.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    fn part_starts(&mut self, choice: u32, part: u32, kind: &PartKind) {
        assert!(
            !self.finished.contains(&choice),
            "part {part} after its choice"
        );
        self.begun.insert(choice);
        let before = self.last_part.insert(choice, part);
        assert!(
            before.is_none_or(|before| before < part),
            "part {part} after {before:?}"
        );
        self.open.insert((choice, part), kind.clone());
    }

    fn part(&self, choice: u32, part: u32, event: &Event) -> &PartKind {
        let kind = self.open.get(&(choice, part));
        kind.unwrap_or_else(|| panic!("{event:?} of no open part"))
    }
}
