# Two regions and one name: llm.example.com passes requests on to us.llm.example.com or, when they ask for it with
# `X-Gateway-Region: eu`, to eu.llm.example.com, where state and processing stay.
#
# Callers who must not even enter the network outside the EU use the EU's own name; without `forward_pinned` they have to.

terraform {
  required_version = ">= 1.9"

  required_providers {
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = "~> 5.24"
    }
  }
}

# The token is read from CLOUDFLARE_API_TOKEN.
provider "cloudflare" {}

module "sluice" {
  source = "../.."

  account_id     = var.account_id
  zone_id        = var.zone_id
  hostname       = var.hostname
  artefact_dir   = var.artefact_dir
  default_region = "us"
  forward_pinned = true
  provider_keys  = { OPENAI_API_KEY = var.openai_api_key }

  regions = {
    us = { bucket_locations = { RECORDS = "enam" } }
    eu = { jurisdiction = "eu" }
  }

  configurations = { for region, governance in module.governance : region => governance.sluice_toml }
  sluice_command = var.sluice_command
}

# One set of rules for both; limits and budgets count in each region by themselves.
module "governance" {
  source   = "../../modules/governance"
  for_each = toset(["eu", "us"])
  region   = each.key

  # What the one name passes on still names its region: each knows its own, and holds such requests to it.
  regions         = { (each.key) = { bucket = "RECORDS" } }
  model_providers = [{ name = "openai", region = each.key == "eu" ? "eu" : null, country = upper(each.key), country_by = "contract" }]
  routes          = { fast = { targets = [{ provider = "openai", model = "gpt-4o-mini" }] } }
  orgs            = { acme = { limits = [{ requests = 3000, per = "1m" }], budgets = [{ usd = "500", per = "month" }] } }
  keys            = { "web-${each.key}" = { org = "acme" } }
  sluice_command  = var.sluice_command
}
