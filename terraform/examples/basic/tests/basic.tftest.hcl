# From an account, a zone and one provider key to a gateway; nothing is reached, every provider is mocked.

mock_provider "cloudflare" {}

variables {
  account_id     = "0123456789abcdef0123456789abcdef"
  zone_id        = "fedcba9876543210fedcba9876543210"
  hostname       = "llm.example.com"
  openai_api_key = "sk-not-a-key"
}

run "one_apply_makes_a_gateway" {
  assert {
    condition     = output.url == "https://llm.example.com"
    error_message = "The gateway is not where it was asked to be: ${output.url}"
  }

  assert {
    condition     = length(nonsensitive(output.admin_token)) == 64
    error_message = "An admin token is made."
  }

  assert {
    condition     = strcontains(output.sluice_toml, "[providers.\"openai\"]")
    error_message = "The configuration names the provider."
  }
}
