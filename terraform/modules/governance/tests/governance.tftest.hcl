# What is declared is what the gateway reads: the rendered text passes `sluice check`, when the command is given.

variables {
  region = "eu"

  regions = { eu = { bucket = "RECORDS" }, de = { countries = ["DE"], jurisdiction = "eu", bucket = "RECORDS" } }

  model_providers = [
    { name = "openai-eu", catalogue = "openai", region = "eu", country = "DE", country_by = "contract", baa = true, egress = "eu", key = ["OPENAI_EU_API_KEY", "OPENAI_EU_API_KEY_NEXT"], models_allow = ["gpt-4o*"] },
    { name = "anthropic", key = ["ANTHROPIC_API_KEY"], discount_percent = 5, timeouts = { idle = "30s" }, retry = { attempts_max = 3, backoff_base = "100ms", backoff_max = "2s" } },
    { name = "azure", azure = { resource = "acme" }, models_allow = ["gpt-4o"], capacity = { concurrent = 8, queue = "20s" } },
    { name = "local", dialect = "openai", base_url = "http://127.0.0.1:8000/v1", auth = "none", models_allow = ["*"], capacity = { concurrent = 4 }, circuit = { look = "0s" } },
  ]

  routes = {
    "fast" = {
      targets = [
        { provider = "openai-eu", model = "gpt-4o-mini", retry = { attempts_max = 1 }, circuit = { failures_max = 3 } },
        { provider = "anthropic", model = "claude-haiku-4-5", egress = "weur", egress_when = "refused" },
      ]
      retry       = { attempts_max = 2, backoff_max = "1s" }
      circuit     = { failures_max = 5, error_percent = 50, window = "10s", calls_min = 20, open = "5s", open_max = "1m", failures = ["connect", "timeout"], look = "30s" }
      fallback_on = ["error", "rate_limit", "context_length"]
      hedge       = { after = "1500ms", percent_max = 5 }
    }
    "acme/best" = { targets = [{ provider = "anthropic", model = "claude-haiku-4-5" }] }
  }

  prices = {
    "openai-eu/gpt-4o" = {
      effective_from = "2026-01-01"
      input          = "2.5", output = "10", input_cached = "1.25", cache_write_5m = "3", cache_write_1h = "5"
      reasoning      = "10", input_audio = "40", output_audio = "80", input_image = "2.5"
      per_request    = "0.001", per_image = "0.04", per_million_characters = "15", per_second = "0.0001"
      above = [{
        input_tokens = 200000
        input        = "5", output = "20", input_cached = "2.5", cache_write_5m = "6", cache_write_1h = "10"
        reasoning    = "20", input_audio = "80", output_audio = "160", input_image = "5"
      }]
    }
  }

  orgs = {
    acme = {
      limits     = [{ requests = 6000, per = "1m" }, { tokens = 2000000, per = "1m" }, { usd = "25", per = "1h" }, { concurrent = 100, queue = "5s" }]
      budgets    = [{ usd = "1000", per = "month" }]
      time_zone  = "Europe/Helsinki"
      accounting = "leased"
      home       = "de"
      shards     = 4
      bodies     = "full"
      body_key   = "ACME_BODY_KEY"
      teams = {
        search = {
          limits     = [{ requests = 600, per = "1m", burst = 50 }, { tokens = 200000, per = "1m", borrow = 50000 }, { usd = "5", per = "1h", burst = "0.50" }]
          budgets    = [{ usd = "50", per = "day", borrow = "20" }]
          time_zone  = "America/New_York"
          accounting = "strict"
          models     = ["fast", "openai-eu/*"]
          region     = "eu"
          data       = "phi"
          bodies     = "redacted"
          apps       = { crawler = { accounting = "strict", limits = [{ usd = "1", per = "1h", borrow = "0.25", queue = "2s" }], budgets = [{ usd = "5", per = "day" }] } }
        }
      }
      users        = { "ann@acme.example" = { accounting = "leased", limits = [{ requests = 60, per = "1m", borrow = true }, { concurrent = 4 }] } }
      key_defaults = { expires_after = "30d", limits = [{ requests = 60, per = "1m", queue = "2s" }], budgets = [{ usd = "2", per = "month", borrow = true }] }
    }
  }

  keys = {
    crawler = { org = "acme", team = "search", app = "crawler", version = 2, budgets = [{ usd = "1", per = "day", borrow = "0.5" }, { usd = "20", per = "month" }] }
    ann     = { org = "acme", user = "ann@acme.example", models = ["fast"], limits = [{ requests = 60, per = "1m", borrow = true }, { tokens = 9000, per = "1m", burst = 900 }, { usd = "5", per = "1h", burst = "0.50" }, { concurrent = 2, queue = "1s" }] }
  }

  extra_toml = <<-TOML
    request_bytes_max = 1000000

    [gateway.retry]
    attempts_max = 2

    [providers.local.models."qwen3"]
    context_tokens = 32768

    [providers.local.quirks]
    strict_fields = true

    [[prices."local/*"]]
    input = "0"
    output = "0"
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
      ann     = { org = "acme", user = "ann@acme.example", models = ["fast"], limits = [{ requests = 60, per = "1m", borrow = true }, { tokens = 9000, per = "1m", burst = 900 }, { usd = "5", per = "1h", burst = "0.50" }, { concurrent = 2, queue = "1s" }], budgets = [], strict = false, regions = [], version = 1, grace = "24h" }
      crawler = { org = "acme", team = "search", app = "crawler", models = [], limits = [], budgets = [{ usd = "1", per = "day", borrow = "0.5" }, { usd = "20", per = "month" }], strict = false, regions = [], version = 2, grace = "24h" }
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
    extra_toml      = ""
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
      "hedge = {\"after\" = \"10ms\",\"percent_max\" = 1}", "hedge = {\"after\" = \"60s\",\"percent_max\" = 100}", "hedge = {\"after\" = \"1500ms\"}",
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

run "one_is_a_number_or_a_dollar" {
  variables {
    orgs = {
      acme = {
        limits = [{ requests = 60, per = "1m" }, { usd = "5", per = "1h" }]
        teams = {
          search = {
            limits  = [{ requests = 60, per = "1m", borrow = 1 }, { requests = 60, per = "1s", burst = 1 }, { usd = "5", per = "1h", borrow = "1" }, { usd = 5, per = "1d", borrow = false }]
            budgets = [{ usd = "5", per = "day", borrow = 1 }]
          }
        }
      }
    }
    keys = {}
  }

  assert {
    condition = regexall("\\{\"b\\w+\" = [^,]*", output.sluice_toml) == tolist([
      "{\"borrow\" = \"1\"", "{\"borrow\" = 1", "{\"burst\" = 1", "{\"borrow\" = \"1\"", "{\"borrow\" = false",
    ])
    error_message = "Rendered was:\n${output.sluice_toml}"
  }
}

run "texts_stay_as_they_are" {
  variables {
    model_providers = [
      { name = "anthropic" }, { name = "openai-eu", catalogue = "openai" },
      { name = "local", dialect = "openai", base_url = "http://127.0.0.1:8000/v1", auth = "none", headers = { "x-a" = ":null,\"b\":null", "x.b" = ":", "x-c" = null }, models_allow = ["*", ":null", ":", "a\":null,b"] },
    ]
    orgs = {}
    keys = {}
  }

  assert {
    condition     = strcontains(output.sluice_toml, "headers = {\"x-a\" = \":null,\\\"b\\\":null\",\"x.b\" = \":\"}\nmodels_allow = [\"*\",\":null\",\":\",\"a\\\":null,b\"]\n")
    error_message = "Rendered was:\n${output.sluice_toml}"
  }
}

run "a_limit_of_nothing_is_refused" {
  command = plan

  variables {
    orgs = { acme = { limits = [{ per = "1m" }] } }
    keys = {}
  }

  expect_failures = [output.sluice_toml]
}

run "a_limit_of_two_things_is_refused" {
  command = plan

  variables {
    orgs = { acme = { teams = { search = { apps = { crawler = { limits = [{ requests = 60, tokens = 2000, per = "1m" }] } } } } } }
    keys = {}
  }

  expect_failures = [output.sluice_toml]
}

run "a_limit_without_its_time_is_refused" {
  command = plan

  variables {
    orgs = { acme = { key_defaults = { limits = [{ requests = 60, per = "1m" }, { requests = 6000 }] } } }
    keys = {}
  }

  expect_failures = [output.sluice_toml]
}

run "a_key_s_limit_of_two_things_is_refused" {
  command = plan

  variables {
    keys = { ann = { org = "acme", limits = [{ requests = 60, concurrent = 2, per = "1m" }] } }
  }

  expect_failures = [output.sluice_toml]
}

run "a_key_s_limit_without_its_time_is_refused" {
  command = plan

  variables {
    keys = { ann = { org = "acme", limits = [{ requests = 60 }] } }
  }

  expect_failures = [output.sluice_toml]
}

run "quirks_that_would_not_be_written_are_refused" {
  command = plan

  variables {
    model_providers = [{ name = "openai-eu", quirks = { strict_fields = true } }, { name = "anthropic" }]
  }

  expect_failures = [var.model_providers]
}

run "models_that_would_not_be_written_are_refused" {
  command = plan

  variables {
    model_providers = [{ name = "openai-eu", models = { gpt = { context_tokens = 9000 } } }, { name = "anthropic", models = { claude = { output_tokens_max = 9 } } }]
  }

  expect_failures = [var.model_providers]
}
