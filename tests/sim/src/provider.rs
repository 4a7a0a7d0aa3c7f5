//! Providers of three dialects: they answer whole and in pieces, late, wrong, half, or not at all.
//!
//! What a provider says is decided by the seed, and noted as the truth that records are held against.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sluice_core::platform::{FetchError, UpstreamAnswer, UpstreamBody, UpstreamCall};
use sluice_core::sandbox::Step;
use sluice_units::Span;

use crate::capacity;
use crate::dialects::{self, Asked, Said};
use crate::faults::Fault;
use crate::hedges;
use crate::world::{Place, World};

const WORDS: [&str; 8] = [
    "Hello",
    " wörld",
    " \"so\"",
    " 日本語",
    "\\n",
    " data: [DONE]",
    " ok.",
    "\u{1f980}",
];

/// How likely a model that was told a limit writes as much as it may, in millionths.
const CHATTY: u64 = 100_000;
/// More words than any limit allows.
const WORDS_MAX: i64 = 48;
/// The tokens of an answer that pays no heed to any limit.
const OVERRUN: u64 = 600;

/// What goes wrong in one call.
const TROUBLES: [Fault; 7] = [
    Fault::UpstreamUnreachable,
    Fault::UpstreamSilent,
    Fault::UpstreamError,
    Fault::UpstreamGarbled,
    Fault::UpstreamCut,
    Fault::UpstreamSlow,
    Fault::UpstreamOverrun,
];

/// What the world knows of one call.
#[derive(Debug, Clone)]
pub(crate) struct CallFact {
    pub(crate) provider: &'static str,
    pub(crate) model: &'static str,
    pub(crate) said: Said,
    /// The whole answer is on its way; where that cannot be told, nothing.
    pub(crate) is_sound: Option<bool>,
    /// It was worked on: the provider is paid, whatever becomes of its answer.
    pub(crate) is_paid: bool,
    /// It was told, or is told by its caller, how much to write at most.
    pub(crate) is_bounded: bool,
}

impl CallFact {
    /// Whether it may use more than is reserved for it.
    pub(crate) const fn may_exceed(&self) -> bool {
        self.said.output == OVERRUN || !self.is_bounded
    }
}

/// Counts a call for as long as it is there.
struct UnderWay {
    _slot: capacity::UnderWay,
    _beside: hedges::Beside,
}

impl UnderWay {
    fn begin(world: &Rc<World>, place: &Place, provider: &str, request: usize) -> Self {
        Self {
            _slot: capacity::begins(world, &place.name, provider),
            _beside: hedges::begins(world, place, request),
        }
    }
}

/// Answers a call.
pub(crate) async fn react(
    world: &Rc<World>,
    place: &Place,
    number: usize,
    call: &UpstreamCall,
) -> Result<UpstreamAnswer<ScriptedBody>, FetchError> {
    let rng = &world.providers;
    let Some(asked) = Asked::read(call) else {
        world.require(Err(format!("a call that no provider knows: {}", call.url)));
        return Err(FetchError::Connect);
    };
    let marker = format!("~{number}~");
    let is_own = memory_find(&call.body, marker.as_bytes());
    world.require(if is_own {
        Ok(())
    } else {
        Err(format!("request {number} sent another's words"))
    });
    let target = (asked.provider(), asked.model());
    let is_down = !world.faults.is_over() && world.outages.since(target.0, world.now()).is_some();
    let egress = call.egress.map(|place| place.name());
    let refused = dialects::wrong_country(asked);
    let refused = refused.filter(|_| world.borders.refuses(target.0, egress));
    let trouble = if is_down {
        world.down(place, target);
        Some(Fault::UpstreamDown)
    } else if refused.is_some() {
        Some(Fault::UpstreamError)
    } else {
        (!world.faults.is_over() && rng.chance(world.weather.upstream))
            .then(|| *rng.pick(&TROUBLES))
    };
    if let Some(fault) = trouble.filter(|fault| *fault != Fault::UpstreamDown) {
        world.faults.note(fault);
    }
    let said = say(world, asked, trouble);
    world.called(
        number,
        CallFact {
            provider: asked.provider(),
            model: asked.model(),
            said: said.clone(),
            is_sound: soundness(asked, trouble),
            is_paid: is_worked_on(trouble),
            is_bounded: asked.is_stream || asked.is_embedding || asked.limit.is_some(),
        },
    );
    world.log(|| {
        let (provider, limit) = (asked.provider(), asked.limit);
        format!("request {number} at {provider}, told {limit:?}: {trouble:?}")
    });
    let under_way = UnderWay::begin(world, place, target.0, number);
    let (low_ms, high_ms) = world.thinking_ms.get();
    world.pause(low_ms, high_ms).await;
    let script = match trouble {
        Some(Fault::UpstreamDown) => {
            let script = vec![Step::Send(Bytes::from_static(b"{}"))];
            return Ok(answer(world, (number, under_way), 500, (asked, script)));
        }
        Some(Fault::UpstreamUnreachable) => {
            return Err(*rng.pick(&[FetchError::Connect, FetchError::Broken]));
        }
        Some(Fault::UpstreamSilent) if rng.chance(500_000) => {
            // Until the core has had enough.
            std::future::pending::<()>().await;
            return Err(FetchError::Broken);
        }
        Some(Fault::UpstreamError) => {
            let (status, body) = refused.unwrap_or_else(|| dialects::refusal(asked, rng));
            let script = vec![Step::Send(body)];
            return Ok(answer(world, (number, under_way), status, (asked, script)));
        }
        _ => script(world, asked, &said, trouble),
    };
    Ok(answer(world, (number, under_way), 200, (asked, script)))
}

fn memory_find(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// Whether the whole answer will come.
fn soundness(asked: Asked, trouble: Option<Fault>) -> Option<bool> {
    match trouble {
        None | Some(Fault::UpstreamSlow | Fault::UpstreamOverrun) => Some(true),
        // What is cut off may be what nobody needs.
        Some(Fault::UpstreamCut | Fault::UpstreamSilent) if asked.is_stream => None,
        Some(_) => Some(false),
    }
}

/// Whether the provider is paid.
const fn is_worked_on(trouble: Option<Fault>) -> bool {
    !matches!(
        trouble,
        Some(Fault::UpstreamDown | Fault::UpstreamUnreachable | Fault::UpstreamError)
    )
}

fn say(world: &World, asked: Asked, trouble: Option<Fault>) -> Said {
    let rng = &world.providers;
    let words = if asked.limit.is_some() && rng.chance(CHATTY) {
        WORDS_MAX
    } else {
        rng.between(1, 6)
    };
    let mut pieces: Vec<&'static str> = (0..words).map(|_| *rng.pick(&WORDS)).collect();
    // As many tokens as the text can have, and no more than are allowed.
    let tokens = |pieces: &[&str]| pieces.concat().len().div_ceil(2) as u64;
    while pieces.len() > 1 && asked.limit.is_some_and(|limit| tokens(&pieces) > limit) {
        pieces.pop();
    }
    let output = match trouble {
        Some(Fault::UpstreamOverrun) => OVERRUN,
        _ => tokens(&pieces),
    };
    Said {
        pieces,
        // A text alone is no longer than itself.
        input: rng.between(1, if asked.is_embedding { 3 } else { 12 }) as u64,
        output: if asked.is_embedding { 0 } else { output },
    }
}

/// What comes over the wire, and when.
fn script(world: &World, asked: Asked, said: &Said, trouble: Option<Fault>) -> Vec<Step> {
    let rng = &world.providers;
    let mut bytes = dialects::answer(asked, said, rng);
    let mut end = None;
    match trouble {
        Some(Fault::UpstreamGarbled) => bytes = dialects::garbage(asked, rng, bytes),
        Some(Fault::UpstreamCut) => {
            bytes.truncate(rng.index(bytes.len()));
            end = rng.chance(500_000).then_some(Step::Break);
        }
        Some(Fault::UpstreamSilent) => {
            bytes.truncate(rng.index(bytes.len()));
            end = Some(Step::Hang);
        }
        _ => {}
    }
    let most_ms = match trouble {
        Some(Fault::UpstreamSlow) => 3_000,
        _ if asked.is_stream => 60,
        _ => 5,
    };
    let pieces = if asked.is_stream {
        rng.between(1, 6)
    } else {
        rng.between(1, 2)
    };
    let mut steps = Vec::new();
    let mut rest = Bytes::from(bytes);
    for left in (1..=pieces).rev() {
        // Anywhere, also in the middle of a character.
        let size = match left {
            1 => rest.len(),
            _ => rng.index(rest.len() + 1),
        };
        let piece = rest.split_to(size);
        if !piece.is_empty() {
            steps.push(Step::Wait(Span::from_millis(rng.between(0, most_ms))));
            steps.push(Step::Send(piece));
        }
    }
    steps.extend(end);
    steps
}

fn answer(
    world: &Rc<World>,
    (number, under_way): (usize, UnderWay),
    status: u16,
    (asked, script): (Asked, Vec<Step>),
) -> UpstreamAnswer<ScriptedBody> {
    let mut headers = HeaderMap::new();
    let kind = if asked.is_stream && status == 200 {
        "text/event-stream"
    } else {
        "application/json"
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == 429 && world.providers.chance(500_000) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    UpstreamAnswer {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
        headers,
        body: ScriptedBody {
            world: Rc::clone(world),
            number,
            steps: script.into(),
            _under_way: under_way,
        },
    }
}

/// The body of a provider's answer.
pub(crate) struct ScriptedBody {
    world: Rc<World>,
    number: usize,
    steps: VecDeque<Step>,
    _under_way: UnderWay,
}

impl UpstreamBody for ScriptedBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            match self.steps.pop_front() {
                None => {
                    self.world.answers(self.number);
                    return Ok(None);
                }
                Some(Step::Wait(span)) => self.world.sleep(span).await,
                Some(Step::Send(bytes)) => {
                    self.world.answers(self.number);
                    return Ok(Some(bytes));
                }
                Some(Step::Break) => return Err(FetchError::Broken),
                Some(Step::Hang) => std::future::pending().await,
            }
        }
    }
}
