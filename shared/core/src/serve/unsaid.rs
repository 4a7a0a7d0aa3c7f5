//! What was used where the provider does not say: an estimate, or what was reserved.

use http::HeaderValue;
use sluice_machines::record::UsageSource;
use sluice_units::{Tokens, Usage};
use sluice_wire::TokenBound;
use sluice_wire::openai::direct::Endpoint;

use super::Run;
use crate::estimate;
use crate::platform::Platform;
use crate::session::Session;
use crate::translate::{Direct, Task, Translated};

impl<P: Platform> Run<P> {
    /// The session of an answer that passes through whatever it is. What it does not say it is charged as reserved.
    pub(super) fn raw_session(&self, content_type: &HeaderValue) -> Session {
        let is_events = content_type.as_bytes().starts_with(b"text/event-stream");
        Session::raw(is_events, self.reserved())
    }

    fn reserved(&self) -> Usage {
        let bound = self.admitted.bound();
        let output = bound.output.unwrap_or_default();
        let speaks = |direct: &Direct| direct.endpoint == Endpoint::Speech;
        let output_audio = match &self.work.task {
            Task::Direct(direct) if speaks(direct) => output,
            _ => Tokens::ZERO,
        };
        Usage {
            input: bound.likely,
            output,
            output_audio,
            ..Usage::default()
        }
    }

    /// What a whole answer has used.
    pub(super) fn used_by(&self, answer: &Translated) -> (Usage, UsageSource) {
        let said = answer.usage.map(|usage| (usage, UsageSource::Provider));
        said.unwrap_or_else(|| self.estimated(&answer.body))
    }

    /// What a provider charges at least that was asked and whose answer nobody knows.
    pub(super) fn input_alone(&self) -> (Usage, UsageSource) {
        let usage = Usage {
            input: self.admitted.bound().likely,
            ..Usage::default()
        };
        (usage, UsageSource::Estimated)
    }

    pub(super) fn estimated(&self, body: &[u8]) -> (Usage, UsageSource) {
        let written = match self.work.task {
            Task::Chat(_) => TokenBound::of(body).tokens(),
            Task::Embeddings(_) => Tokens::ZERO,
            Task::Direct(_) => return (self.reserved(), UsageSource::Estimated),
            Task::Files(_) => return (Usage::default(), UsageSource::None),
        };
        let usage = Usage {
            input: self.admitted.bound().likely,
            output: estimate::likely(written),
            ..Usage::default()
        };
        (usage, UsageSource::Estimated)
    }
}
