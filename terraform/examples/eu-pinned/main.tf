# A gateway that is in the EU or nowhere: bucket, lock, public name, logs; and providers that serve from there.
#
# The zone needs Regional Services. Durable Objects are placed by the worker's code: see docs/deploy.md.

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
  region_secrets = { eu = { OPENAI_EU_API_KEY = var.openai_eu_api_key } }

  regions = {
    eu = {
      jurisdiction     = "eu"
      hostname         = var.hostname
      bucket_lock_days = { RECORDS = 2555 }
    }
  }

  configurations = { eu = module.governance.sluice_toml }
  sluice_command = var.sluice_command
}

module "governance" {
  source = "../../modules/governance"
  region = "eu"

  # Its requests are held to the Union: counted under its jurisdiction, recorded in the bucket that is bound as RECORDS,
  # sent to providers in it alone, from an object in it.
  regions = { eu = { bucket = "RECORDS", entered_within = true } }

  model_providers = [
    { name = "openai-eu", catalogue = "openai", region = "eu", country = "EU", country_by = "contract", egress = "eu", key = ["OPENAI_EU_API_KEY"], models_allow = ["gpt-4o*"] },
  ]

  orgs = {
    hospital = {
      limits  = [{ requests = 6000, per = "1m" }]
      budgets = [{ usd = "5000", per = "month" }]
      models  = ["openai-eu/*"]
      region  = "eu"
      teams   = { radiology = { budgets = [{ usd = "100", per = "day" }] } }
    }
  }

  keys           = { radiology = { org = "hospital", team = "radiology", expires = "90d" } }
  sluice_command = var.sluice_command
}
