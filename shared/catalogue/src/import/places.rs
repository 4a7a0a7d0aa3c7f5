//! In which country each region of a provider is.
//!
//! Written after the clouds' own lists of locations (2026-11): neither London nor Zurich is in the European Union,
//! whatever their regions are called. A name that stands for several countries without a common word is not here.

use super::Gathered;

/// <https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>
const AMAZON: [(&str, &str); 28] = [
    ("af-south-1", "ZA"),
    ("ap-east-1", "HK"),
    ("ap-northeast-1", "JP"),
    ("ap-northeast-2", "KR"),
    ("ap-northeast-3", "JP"),
    ("ap-south-1", "IN"),
    ("ap-south-2", "IN"),
    ("ap-southeast-1", "SG"),
    ("ap-southeast-2", "AU"),
    ("ap-southeast-3", "ID"),
    ("ap-southeast-4", "AU"),
    ("ca-central-1", "CA"),
    ("ca-west-1", "CA"),
    ("eu-central-1", "DE"),
    ("eu-central-2", "CH"),
    ("eu-north-1", "SE"),
    ("eu-south-1", "IT"),
    ("eu-south-2", "ES"),
    ("eu-west-1", "IE"),
    ("eu-west-2", "GB"),
    ("eu-west-3", "FR"),
    ("sa-east-1", "BR"),
    ("us-east-1", "US"),
    ("us-east-2", "US"),
    ("us-gov-east-1", "US"),
    ("us-gov-west-1", "US"),
    ("us-west-1", "US"),
    ("us-west-2", "US"),
];
/// <https://cloud.google.com/about/locations>
const GOOGLE: [(&str, &str); 32] = [
    ("asia-east1", "TW"),
    ("asia-east2", "HK"),
    ("asia-northeast1", "JP"),
    ("asia-northeast2", "JP"),
    ("asia-northeast3", "KR"),
    ("asia-south1", "IN"),
    ("asia-southeast1", "SG"),
    ("australia-southeast1", "AU"),
    ("eu", "EU"),
    ("europe-central2", "PL"),
    ("europe-north1", "FI"),
    ("europe-southwest1", "ES"),
    ("europe-west1", "BE"),
    ("europe-west2", "GB"),
    ("europe-west3", "DE"),
    ("europe-west4", "NL"),
    ("europe-west6", "CH"),
    ("europe-west8", "IT"),
    ("europe-west9", "FR"),
    ("me-central1", "QA"),
    ("me-west1", "IL"),
    ("northamerica-northeast1", "CA"),
    ("southamerica-east1", "BR"),
    ("us", "US"),
    ("us-central1", "US"),
    ("us-east1", "US"),
    ("us-east4", "US"),
    ("us-east5", "US"),
    ("us-south1", "US"),
    ("us-west1", "US"),
    ("us-west2", "US"),
    ("us-west4", "US"),
];
/// What the names of other providers' regional addresses mean.
const NAMED: [(&str, &str); 6] = [
    ("ae", "AE"),
    ("au", "AU"),
    ("eu", "EU"),
    ("in", "IN"),
    ("jp", "JP"),
    ("us", "US"),
];

/// Adds the countries of every region that has an address.
pub(super) fn add(gathered: &mut Gathered) {
    for facts in gathered.providers.values_mut() {
        let known: &[(&str, &str)] = match facts.id.as_str() {
            "amazon-bedrock" => &AMAZON,
            "google-vertex" | "google-vertex-anthropic" => &GOOGLE,
            _ => &NAMED,
        };
        let is_cloud = known.len() > NAMED.len();
        let met = known
            .iter()
            .filter(|(region, _)| is_cloud || facts.endpoints.contains_key(*region));
        facts.countries = met
            .map(|(region, country)| ((*region).to_owned(), (*country).to_owned()))
            .collect();
    }
}
