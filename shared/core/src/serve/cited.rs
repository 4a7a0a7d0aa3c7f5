//! Answers that name files: the one place in which they get the organisation's words, whole or streamed.

use bytes::Bytes;

use super::Run;
use crate::config::TargetRef;
use crate::files::Ids;
use crate::platform::Platform;

impl<P: Platform> Run<P> {
    /// An answer, or whole events of one, with the organisation's names of files; `None` where it names none, or where
    /// the gateway keeps none.
    pub(crate) fn naming_files(&self, target: &TargetRef, answer: &[u8]) -> Option<Bytes> {
        if !self.work.may_cite(answer) {
            return None;
        }
        let ids = Ids::of(&self.p, &self.admitted.draft().org)?;
        Some(self.work.told(answer, ids, &target.provider.id))
    }
}
