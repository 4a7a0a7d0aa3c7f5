# Two regions behind one name, each with state of its own.

mock_provider "cloudflare" {}

variables {
  account_id     = "0123456789abcdef0123456789abcdef"
  zone_id        = "fedcba9876543210fedcba9876543210"
  hostname       = "llm.example.com"
  openai_api_key = "sk-not-a-key"
}

run "one_name_leads_to_both" {
  assert {
    condition     = output.url == "https://llm.example.com"
    error_message = "There is no one name: ${output.url}"
  }

  assert {
    condition     = output.region_urls == { eu = "https://eu.llm.example.com", us = "https://us.llm.example.com" }
    error_message = "A region has not its own name."
  }
}

run "regions_share_nothing" {
  assert {
    condition     = length(distinct(flatten([for region in values(output.bucket_names) : values(region)]))) == 2
    error_message = "Two regions write into one bucket."
  }

  assert {
    condition     = length(distinct(values(output.worker_names))) == 2
    error_message = "Two regions are one worker."
  }
}

run "only_the_eu_is_pinned" {
  assert {
    condition     = output.residency.eu["bucket/RECORDS"] == "eu" && output.residency.us["bucket/RECORDS"] == "default"
    error_message = "The jurisdictions are mixed up."
  }

  assert {
    condition     = output.residency.eu["logs"] == "none" && output.residency.us["logs"] == "anywhere"
    error_message = "The EU's worker gives no logs away, the other one may."
  }
}

run "each_region_is_told_its_name" {
  assert {
    condition     = alltrue([for region, toml in output.sluice_toml : strcontains(toml, "region = \"${region}\"")])
    error_message = "A configuration is labelled with another region."
  }
}
