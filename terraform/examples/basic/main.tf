# The smallest gateway: one worker, one name, one provider.

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

  account_id    = var.account_id
  zone_id       = var.zone_id
  hostname      = var.hostname
  artefact_dir  = var.artefact_dir
  provider_keys = { OPENAI_API_KEY = var.openai_api_key }

  configurations = { global = module.governance.sluice_toml }
  sluice_command = var.sluice_command
}

module "governance" {
  source = "../../modules/governance"

  model_providers = [{ name = "openai" }]
  orgs            = { acme = { budgets = [{ usd = "100", per = "month" }] } }
  keys            = { first = { org = "acme" } }
  sluice_command  = var.sluice_command
}
