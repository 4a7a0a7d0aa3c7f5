terraform {
  required_version = ">= 1.9"

  required_providers {
    # Used by the modules below; named here so that a caller's or a test's provider of that name is this one.
    # tflint-ignore: terraform_unused_required_providers
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = "~> 5.24"
    }
  }
}
