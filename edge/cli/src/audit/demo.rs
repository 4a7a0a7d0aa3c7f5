//! `sluice audit demo`: made-up records in a real chain, the same each time.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use sluice_machines::chain::{self, Chain, ChainKind, Head};
use sluice_machines::outbox::{BATCH_RECORDS_MAX, Line};
use sluice_machines::record::{
    Attempt, CacheState, Operation, Outcome, Record, RecordKind, UsageSource,
};
use sluice_units::{
    IdError, KeyId, ModelId, NanoUsd, OrgId, ProviderId, Region, RequestId, Span, TeamId,
    Timestamp, Tokens, Usage,
};

use crate::Failure;

/// 2026-11-01T00:00:00Z.
const BEGIN_SECONDS: i64 = 1_793_491_200;
const TEAMS: [&str; 4] = ["search", "support", "legal", "growth"];
const REGION: &str = "eu";
const ORG: &str = "demo";

pub(crate) fn run(folder: &Path, records: u64) -> Result<String, Failure> {
    let chain = Chain {
        kind: ChainKind::Usage,
        region: Region::new(REGION).ok(),
        org: OrgId::new(ORG).ok(),
        shard: None,
    };
    let mut head = Head::default();
    let mut first = 1;
    while first <= records {
        let last = records.min(first + u64::from(BATCH_RECORDS_MAX) - 1);
        let mut lines = String::new();
        for sequence in first..=last {
            let record = record(sequence).map_err(|error| Failure::MadeUp(error.to_string()))?;
            let line = Line::new(sequence, record);
            lines.push_str(&serde_json::to_string(&line).map_err(Failure::Json)?);
            lines.push('\n');
        }
        let text = chain::write(&chain, &head, first, &lines).map_err(Failure::Json)?;
        head = Head {
            batch: head.batch + 1,
            hash: chain::hash(text.as_bytes()),
        };
        let date = at(first).date();
        let name = format!(
            "{}/date={date}/{:012}.ndjson.gz",
            chain.folder(),
            head.batch
        );
        store(&folder.join(name), &text)?;
        first = last + 1;
    }
    Ok(format!(
        "{records} records in {} batches in {}; now try: sluice audit verify {}\n",
        head.batch,
        folder.display(),
        folder.display()
    ))
}

fn store(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::File {
        path: path.to_owned(),
        error,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // A folder that holds records already is left alone.
    let file = fs::File::create_new(path).map_err(failed)?;
    let mut encoder = GzBuilder::new().write(file, Compression::fast());
    encoder.write_all(text.as_bytes()).map_err(failed)?;
    encoder.finish().map(drop).map_err(failed)
}

/// A request every four seconds.
fn at(sequence: u64) -> Timestamp {
    let passed = i64::try_from(sequence)
        .unwrap_or(i64::MAX)
        .saturating_mul(4);
    Timestamp::from_millis(BEGIN_SECONDS.saturating_add(passed).saturating_mul(1_000))
}

fn record(sequence: u64) -> Result<Record, IdError> {
    // Any spread will do.
    let spread = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let pick = usize::try_from(spread % 4).unwrap_or_default();
    let fails = spread.is_multiple_of(50);
    let (input, output) = (100 + spread % 900, 20 + spread % 300);
    let provider = ProviderId::new(if pick == 2 { "anthropic" } else { "openai-eu" })?;
    let model = ModelId::new(if pick == 2 {
        "claude-haiku-4-5"
    } else {
        "gpt-4o-mini"
    })?;
    let latency_us = Span::from_millis(i64::try_from(200 + spread % 2_000).unwrap_or_default());
    let status = if fails { 502 } else { 200 };
    let usage = Usage {
        input: Tokens::new(input),
        output: Tokens::new(if fails { 0 } else { output }),
        ..Usage::default()
    };
    Ok(Record {
        request: RequestId::new(&format!("req_{spread:08x}{sequence:012}"))?,
        kind: RecordKind::Settled,
        at_us: at(sequence),
        org: OrgId::new(ORG)?,
        team: Some(TeamId::new(TEAMS.get(pick).copied().unwrap_or("search"))?),
        app: None,
        user: None,
        key: KeyId::new(&format!("key_{pick}"))?,
        operation: Operation::Chat,
        model: ModelId::new("fast")?,
        stream: spread.is_multiple_of(3),
        provider: Some(provider.clone()),
        provider_model: Some(model.clone()),
        region: Region::new(REGION)?,
        shard: None,
        pin: None,
        place: None,
        egress: None,
        usage,
        usage_source: UsageSource::Provider,
        cost_nano_usd: NanoUsd::from_nanos(i64::try_from(input * 150 + output * 600).unwrap_or(0)),
        overrun: false,
        borrowed: Vec::new(),
        latency_us,
        first_byte_us: None,
        cache: CacheState::Off,
        outcome: if fails {
            Outcome::Failed
        } else {
            Outcome::Completed
        },
        status,
        finish: (!fails).then(|| "stop".to_owned()),
        error: fails.then(|| "upstream_error".to_owned()),
        attempts: vec![Attempt {
            provider,
            model,
            egress: None,
            status: Some(status),
            error: fails.then(|| "upstream_error".to_owned()),
            latency_us,
            spent: None,
        }],
        dropped: Vec::new(),
        bodies: None,
    })
}
