# What is declared is what the gateway reads: the rendered text passes `sluice check`, when the command is given.

variables {
  region = "eu"

  regions = { eu = { bucket = "RECORDS" } }

  model_providers = [
    { name = "openai-eu", catalogue = "openai", region = "eu", country = "DE", country_by = "contract", baa = true, egress = "eu", key = ["OPENAI_EU_API_KEY", "OPENAI_EU_API_KEY_NEXT"], models_allow = ["gpt-4o*"] },
    { name = "anthropic", key = ["ANTHROPIC_API_KEY"], discount_percent = 5, timeouts = { idle = "30s" } },
    { name = "azure", azure = { resource = "acme" }, models_allow = ["gpt-4o"] },
  ]

  routes = {
    "fast" = {
      targets     = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }]
      fallback_on = ["error", "rate_limit", "context_length"]
    }
    "acme/best" = { targets = [{ provider = "anthropic", model = "claude-haiku-4-5" }] }
  }

  prices = { "openai-eu/gpt-4o" = { input = "2.5", output = "10" } }

  orgs = {
    acme = {
      limits   = [{ requests = 6000, per = "1m" }, { tokens = 2000000, per = "1m" }, { usd = "25", per = "1h" }]
      budgets  = [{ usd = "1000", per = "month" }]
      bodies   = "full"
      body_key = "ACME_BODY_KEY"
      teams = {
        search = {
          budgets = [{ usd = "50", per = "day" }]
          models  = ["fast", "openai-eu/*"]
          region  = "eu"
          data    = "phi"
          bodies  = "redacted"
          apps    = { crawler = { budgets = [{ usd = "5", per = "day" }] } }
        }
      }
      users        = { "ann@acme.example" = { limits = [{ requests = 60, per = "1m" }] } }
      key_defaults = { expires_after = "30d", limits = [{ requests = 60, per = "1m" }] }
    }
  }

  keys = {
    crawler = { org = "acme", team = "search", app = "crawler", version = 2, budgets = [{ usd = "1", per = "day" }] }
    ann     = { org = "acme", user = "ann@acme.example", models = ["fast"] }
  }

  extra_toml = <<-TOML
    [gateway.retry]
    attempts_max = 2
  TOML
}

run "what_is_declared_is_rendered" {
  assert {
    condition     = output.sluice_toml == file("./tests/rendered.toml")
    error_message = "Rendered was:\n${output.sluice_toml}"
  }

  assert {
    condition     = output.secret_names == tolist(["ACME_BODY_KEY", "ANTHROPIC_API_KEY", "OPENAI_EU_API_KEY", "OPENAI_EU_API_KEY_NEXT"])
    error_message = "The secrets that are needed are not told of."
  }
}

run "keys_are_wishes_without_secrets" {
  assert {
    condition = jsondecode(output.keys_json) == {
      ann     = { org = "acme", user = "ann@acme.example", models = ["fast"], limits = [], budgets = [], strict = false, regions = [], version = 1, grace = "24h" }
      crawler = { org = "acme", team = "search", app = "crawler", models = [], limits = [], budgets = [{ usd = "1", per = "day" }], strict = false, regions = [], version = 2, grace = "24h" }
    }
    error_message = "The wishes are not what was declared: ${output.keys_json}"
  }
}

run "nothing_declared_is_a_gateway_with_a_sandbox" {
  variables {
    region          = "global"
    regions         = {}
    model_providers = []
    routes          = {}
    prices          = {}
    orgs            = {}
    keys            = {}
    extra_toml      = ""
  }

  assert {
    condition     = output.sluice_toml == "# Rendered by Terraform; change it there.\n\n[gateway]\nregion = \"global\"\n"
    error_message = "Rendered was:\n${output.sluice_toml}"
  }
}

run "a_secret_in_place_of_its_name_is_refused" {
  command = plan

  variables {
    model_providers = [{ name = "openai", key = ["sk-not-a-key"] }, { name = "openai" }]
    region          = "not a region"
  }

  expect_failures = [var.model_providers, var.region]
}

run "a_key_of_nobody_is_refused" {
  command = plan

  variables {
    keys = {
      "Bad Name" = { org = "nobody", app = "crawler", version = 0, grace = "soon" }
    }
  }

  expect_failures = [var.keys]
}
