//! The end of a request, with what was asked and answered where that is to be on record.

use super::*;
use crate::bodies::Transcript;

impl<P: Platform> Run<P> {
    /// Settles. Nobody waits for it.
    pub(crate) fn settle(&self, record: Record, said: Said) {
        let (p, isolate) = (&self.p, &self.isolate);
        match &self.keeper {
            Some(keeper) => {
                let text = keeper.write(&self.work, said);
                keeper.settle(p, isolate, &self.admitted, record, text);
            }
            None => settle::settle(p, isolate, self.admitted.ledger(), record),
        }
    }

    /// What writes a streamed answer down, where it is to be on record.
    pub(super) fn transcript(&self) -> Option<Box<Transcript>> {
        let keeper = self.keeper.as_ref()?;
        let downstream = match &self.work.task {
            Task::Chat(chat) => Some(chat.downstream),
            _ => None,
        };
        Some(Box::new(Transcript::new(keeper.keep(), downstream)))
    }
}
