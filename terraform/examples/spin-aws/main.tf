# Beside Spin: the audit bucket on AWS, and what the gateway must be told of it and of Redis.

terraform {
  # Write-only arguments.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

# Credentials are read as every AWS tool reads them.
provider "aws" {
  region = var.region
}

module "audit_bucket" {
  source = "../../modules/aws-audit-bucket"

  bucket_name    = var.bucket_name
  retention_days = var.retention_days
}

# Counters are in Redis, whose address has a password in it.
module "secrets" {
  source = "../../modules/aws-secrets"

  versions = { SPIN_VARIABLE_SLUICE_STORE = var.redis_url_version, SPIN_VARIABLE_OPENAI_API_KEY = 1 }
  values   = { SPIN_VARIABLE_SLUICE_STORE = var.redis_url, SPIN_VARIABLE_OPENAI_API_KEY = var.openai_api_key }
}

module "governance" {
  source = "../../modules/governance"
  region = var.region

  model_providers = [{ name = "openai" }]
  orgs            = { acme = { budgets = [{ usd = "100", per = "month" }] } }
  keys            = { first = { org = "acme" } }
  sluice_command  = var.sluice_command
}
