# The whole gateway: names, tokens, and what is refused before anything is made.

mock_provider "cloudflare" {}

variables {
  account_id = "0123456789abcdef0123456789abcdef"
  zone_id    = "fedcba9876543210fedcba9876543210"
  hostname   = "llm.example.com"
}

run "an_admin_token_is_made_and_stays" {
  assert {
    condition     = can(regex("^[0-9a-f]{64}$", nonsensitive(output.admin_token)))
    error_message = "No token is made."
  }
}

run "the_same_token_is_there_after_the_next_apply" {
  # OpenTofu brings what an earlier run left through variables alone; this one decides nothing about the token.
  variables {
    tags = [nonsensitive(run.an_admin_token_is_made_and_stays.admin_token)]
  }

  assert {
    condition     = contains(var.tags, nonsensitive(output.admin_token))
    error_message = "Every apply makes another token."
  }
}

run "a_given_admin_token_is_taken" {
  variables {
    admin_token = "0123456789012345678901234567890123456789"
  }

  assert {
    condition     = nonsensitive(output.admin_token) == "0123456789012345678901234567890123456789" && length(terraform_data.admin_token) == 0
    error_message = "Another token is made."
  }
}

run "an_inherited_admin_token_is_not_known" {
  variables {
    inherited_secrets = ["SLUICE_ADMIN_TOKEN"]
  }

  assert {
    condition     = output.admin_token == null && length(terraform_data.admin_token) == 0
    error_message = "The token is in the state."
  }
}

run "an_identifier_key_is_made_unless_it_is_given_or_inherited" {
  assert {
    condition     = length(terraform_data.id_key) == 1
    error_message = "No key is made."
  }
}

run "a_given_identifier_key_is_taken" {
  variables {
    id_key        = "0123456789012345678901234567890123456789"
    id_key_before = "9876543210987654321098765432109876543210"
  }

  assert {
    condition     = length(terraform_data.id_key) == 0
    error_message = "Another key is made."
  }
}

run "an_inherited_identifier_key_is_not_known" {
  variables {
    inherited_secrets = ["SLUICE_ID_KEY"]
  }

  assert {
    condition     = length(terraform_data.id_key) == 0
    error_message = "The key is in the state."
  }
}

run "a_region_that_comes_changes_none_that_is_there" {
  variables {
    regions = { global = {}, eu = { jurisdiction = "eu" } }
  }

  assert {
    condition     = output.worker_names == { eu = "sluice-eu", global = "sluice" }
    error_message = "A worker is called otherwise than before."
  }

  assert {
    condition     = output.region_urls == { eu = "https://eu.llm.example.com", global = "https://llm.example.com" } && output.url == "https://llm.example.com"
    error_message = "A region has another name than before, or a front stands before it."
  }
}

run "regions_without_the_gateways_name_stand_behind_it" {
  variables {
    regions        = { eu = { jurisdiction = "eu" }, us = {} }
    default_region = "us"
  }

  assert {
    condition     = output.url == "https://llm.example.com" && length(distinct(concat([output.url], values(output.region_urls)))) == 3
    error_message = "There is no front, or it has a region's name."
  }
}

run "what_the_configuration_must_say_is_told" {
  assert {
    condition     = output.gateway_toml == { global = "[gateway]\nregion = \"global\"\n" } && strcontains(output.wrangler_toml.global, "bucket_name = \"sluice-records\"")
    error_message = "The fragments of sluice.toml and wrangler.toml are not told."
  }
}

run "two_regions_must_not_have_one_name" {
  command = plan

  variables {
    regions = { eu = { hostname = "llm.example.com" }, us = { hostname = "llm.example.com" } }
  }

  expect_failures = [output.region_urls]
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    hostname       = "https://llm.example.com"
    admin_token    = "short"
    id_key         = "short"
    id_key_before  = "short"
    configurations = { mars = "" }
  }

  expect_failures = [var.hostname, var.admin_token, var.id_key, var.id_key_before, var.configurations]
}

run "a_region_has_a_proper_name" {
  command = plan

  variables {
    regions = { "E U" = {} }
  }

  expect_failures = [var.regions]
}
