# What is declared is what the gateway reads: the rendered text passes `sluice check`, when the command is given.

variables {
  region = "eu"

  regions = { eu = { bucket = "RECORDS" }, de = { countries = ["DE"], jurisdiction = "eu", bucket = "RECORDS" } }

  model_providers = [
    { name = "openai-eu", catalogue = "openai", region = "eu", country = "DE", country_by = "contract", baa = true, egress = "eu", key = ["OPENAI_EU_API_KEY", "OPENAI_EU_API_KEY_NEXT"], models_allow = ["gpt-4o*"] },
    { name = "anthropic", key = ["ANTHROPIC_API_KEY"], discount_percent = 5, timeouts = { idle = "30s" } },
    { name = "azure", azure = { resource = "acme" }, models_allow = ["gpt-4o"], capacity = { concurrent = 8, queue = "20s" } },
    { name = "local", dialect = "openai", base_url = "http://127.0.0.1:8000/v1", auth = "none", models_allow = ["*"], capacity = { concurrent = 4 } },
  ]

  routes = {
    "fast" = {
      targets     = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }]
      fallback_on = ["error", "rate_limit", "context_length"]
      hedge       = { after = "1500ms", percent_max = 5 }
    }
    "acme/best" = { targets = [{ provider = "anthropic", model = "claude-haiku-4-5" }] }
  }

  prices = { "openai-eu/gpt-4o" = { input = "2.5", output = "10" } }

  orgs = {
    acme = {
      limits   = [{ requests = 6000, per = "1m" }, { tokens = 2000000, per = "1m" }, { usd = "25", per = "1h" }]
      budgets  = [{ usd = "1000", per = "month" }]
      home     = "de"
      shards   = 4
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

run "no_call_at_once_is_refused" {
  command = plan

  variables {
    model_providers = [{ name = "openai" }, { name = "anthropic", capacity = { concurrent = 0 } }]
  }

  expect_failures = [var.model_providers]
}

run "more_calls_at_once_than_a_region_counts_are_refused" {
  command = plan

  variables {
    model_providers = [{ name = "openai" }, { name = "anthropic", capacity = { concurrent = 10001 } }]
  }

  expect_failures = [var.model_providers]
}

run "half_a_call_at_once_is_refused" {
  command = plan

  variables {
    model_providers = [{ name = "openai" }, { name = "anthropic", capacity = { concurrent = 1.5 } }]
  }

  expect_failures = [var.model_providers]
}

run "a_wait_that_is_no_duration_is_refused" {
  command = plan

  variables {
    model_providers = [{ name = "openai" }, { name = "anthropic", capacity = { concurrent = 8, queue = "soon" } }]
  }

  expect_failures = [var.model_providers]
}

run "a_wait_that_is_shorter_than_may_be_is_refused" {
  command = plan

  variables {
    model_providers = [{ name = "openai" }, { name = "anthropic", capacity = { concurrent = 8, queue = "999us" } }]
  }

  expect_failures = [var.model_providers]
}

run "a_wait_that_is_longer_than_may_be_is_refused" {
  command = plan

  variables {
    model_providers = [{ name = "openai" }, { name = "anthropic", capacity = { concurrent = 8, queue = "2m" } }]
  }

  expect_failures = [var.model_providers]
}

run "no_shard_is_refused" {
  command = plan

  variables {
    orgs = { acme = {}, beta = { shards = 0 } }
    keys = {}
  }

  expect_failures = [var.orgs]
}

run "more_shards_than_may_be_are_refused" {
  command = plan

  variables {
    orgs = { acme = {}, beta = { shards = 33 } }
    keys = {}
  }

  expect_failures = [var.orgs]
}

run "half_a_shard_is_refused" {
  command = plan

  variables {
    orgs = { acme = {}, beta = { shards = 1.5 } }
    keys = {}
  }

  expect_failures = [var.orgs]
}

run "a_home_that_is_no_region_is_refused" {
  command = plan

  variables {
    orgs = { acme = {}, beta = { home = "us" } }
    keys = {}
  }

  expect_failures = [var.orgs]
}

run "whatever_may_be_is_taken" {
  variables {
    model_providers = [{ name = "openai", capacity = { concurrent = 1, queue = "1ms" } }, { name = "anthropic", capacity = { concurrent = 10000, queue = "60s" } }]
    routes          = {}
    prices          = {}
    orgs            = { acme = { shards = 1, home = "eu" }, beta = { shards = 32, home = "de" }, gamma = {} }
    keys            = {}
  }

  assert {
    condition     = length(regexall("capacity = ", output.sluice_toml)) == 2 && length(regexall("shards = ", output.sluice_toml)) == 2
    error_message = "Rendered was:\n${output.sluice_toml}"
  }
}

run "a_hedge_is_rendered_where_it_is_said" {
  variables {
    routes = {
      early  = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }], hedge = { after = "10ms", percent_max = 1 } }
      late   = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }], hedge = { after = "60s", percent_max = 100 } }
      plain  = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }] }
      silent = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }], hedge = { after = "1500ms" } }
    }
  }

  assert {
    condition = regexall("hedge = .*", output.sluice_toml) == tolist([
      "hedge = { after = \"10ms\", percent_max = 1 }", "hedge = { after = \"60s\", percent_max = 100 }", "hedge = { after = \"1500ms\" }",
    ])
    error_message = "Rendered was:\n${output.sluice_toml}"
  }
}

run "a_hedge_sooner_than_may_be_is_refused" {
  command = plan

  variables {
    routes = { fast = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }], hedge = { after = "9999us" } } }
  }

  expect_failures = [var.routes]
}

run "a_hedge_later_than_may_be_is_refused" {
  command = plan

  variables {
    routes = { fast = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }], hedge = { after = "61s" } } }
  }

  expect_failures = [var.routes]
}

run "a_hedge_that_is_no_duration_is_refused" {
  command = plan

  variables {
    routes = { fast = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }], hedge = { after = "soon" } } }
  }

  expect_failures = [var.routes]
}

run "a_hedge_for_nobody_is_refused" {
  command = plan

  variables {
    routes = { fast = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }], hedge = { after = "2s", percent_max = 0 } } }
  }

  expect_failures = [var.routes]
}

run "a_hedge_for_more_than_all_is_refused" {
  command = plan

  variables {
    routes = { fast = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }], hedge = { after = "2s", percent_max = 101 } } }
  }

  expect_failures = [var.routes]
}

run "a_hedge_for_half_a_percent_is_refused" {
  command = plan

  variables {
    routes = { fast = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }, { provider = "anthropic", model = "claude-haiku-4-5" }], hedge = { after = "2s", percent_max = 1.5 } } }
  }

  expect_failures = [var.routes]
}

run "a_hedge_without_another_target_is_refused" {
  command = plan

  variables {
    routes = { fast = { targets = [{ provider = "openai-eu", model = "gpt-4o-mini" }], hedge = { after = "2s" } } }
  }

  expect_failures = [var.routes]
}
