//! The models that a caller may use, in the shape of the caller's language.

use http::StatusCode;
use sluice_units::{Timestamp, Tokens};
use sluice_wire::{Downstream, anthropic, gemini, openai};

use crate::authenticate;
use crate::config::{CapabilityName, TargetRef};
use crate::gateway::{Answer, Context};
use crate::platform::Platform;
use crate::problem::Problem;

impl<P: Platform> Context<'_, P> {
    pub(crate) async fn models(&self) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let mut names = self
            .config
            .models_for(caller.key())
            .map_err(|gone| authenticate::removed(&gone))?;
        names.retain(|name| {
            let route = self.config.resolve_model(name);
            route.is_some_and(|route| caller.residency().course(route).is_ok())
        });
        Ok(Answer::json(StatusCode::OK, self.list(&names)))
    }

    fn list(&self, names: &[String]) -> Vec<u8> {
        match self.downstream {
            Downstream::ChatCompletions | Downstream::Completions | Downstream::Responses => {
                let models: Vec<_> = names.iter().map(|name| openai_model(name)).collect();
                openai::models::encode_list(&models)
            }
            Downstream::Messages => {
                let models: Vec<_> = names.iter().map(|name| anthropic_model(name)).collect();
                anthropic::encode_models(&models)
            }
            Downstream::GenerateContent(_) => {
                let models: Vec<_> = names.iter().map(|name| self.gemini_model(name)).collect();
                gemini::downstream::encode_models(&models)
            }
        }
    }

    pub(crate) async fn model(&self, name: &str) -> Result<Answer<P>, Problem> {
        let caller = self.caller().await?;
        let (course, _) = self.route(&caller, name)?;
        let body = match self.downstream {
            Downstream::ChatCompletions | Downstream::Completions | Downstream::Responses => {
                let target = course.target(0);
                let owned_by = target.map_or("sluice", |target| target.get().provider.id.as_str());
                openai::models::encode(&openai::models::Model {
                    owned_by,
                    ..openai_model(name)
                })
            }
            Downstream::Messages => anthropic::encode_model(&anthropic_model(name)),
            Downstream::GenerateContent(_) => {
                gemini::downstream::encode_model(&self.gemini_model(name))
            }
        };
        Ok(Answer::json(StatusCode::OK, body))
    }

    fn gemini_model(&self, name: &str) -> gemini::downstream::ListedModel {
        let route = self.config.resolve_model(name);
        let target = route.as_ref().and_then(|route| route.targets.first());
        let limit =
            |read: fn(&TargetRef) -> Option<Tokens>| target.and_then(read).map(Tokens::count);
        gemini::downstream::ListedModel {
            name: name.to_owned(),
            input_tokens_max: limit(|target| target.context_tokens),
            output_tokens_max: limit(|target| target.output_tokens_max),
            embeds: target.is_some_and(|target| !target.capabilities.has(CapabilityName::Chat)),
        }
    }
}

const fn openai_model(name: &str) -> openai::models::Model<'_> {
    openai::models::Model {
        id: name,
        created: 0,
        owned_by: "sluice",
    }
}

const fn anthropic_model(name: &str) -> anthropic::Model<'_> {
    anthropic::Model {
        id: name,
        display_name: name,
        created_at: Timestamp::from_micros(0),
    }
}
