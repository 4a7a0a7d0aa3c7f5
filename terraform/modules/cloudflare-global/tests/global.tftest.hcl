# What there is once: TLS, and the one name in front of the regions.

mock_provider "cloudflare" {}

variables {
  account_id = "0123456789abcdef0123456789abcdef"
  zone_id    = "fedcba9876543210fedcba9876543210"
  hostnames  = ["llm.example.com", "eu.llm.example.com"]
}

run "nothing_older_than_tls_1_3_is_taken" {
  assert {
    condition = { for name, setting in cloudflare_zone_setting.this : name => setting.value } == {
      always_use_https = "on"
      min_tls_version  = "1.3"
      tls_1_3          = "on"
    }
    error_message = "The zone takes an older TLS, or no TLS."
  }

  assert {
    condition     = output.url == null && length(cloudflare_worker.front) == 0
    error_message = "There is a front where none was asked for."
  }
}

run "tls_may_be_set_for_the_gateways_names_alone" {
  variables {
    tls_scope = "hostnames"
  }

  assert {
    condition     = output.tls_min_version == { "llm.example.com" = "1.3", "eu.llm.example.com" = "1.3" } && length(cloudflare_zone_setting.this) == 0
    error_message = "A name takes an older TLS, or the whole zone is changed."
  }
}

run "the_front_knows_the_regions" {
  variables {
    front = {
      hostname       = "llm.example.com"
      default_region = "us"
      regions = {
        eu = { hostname = "eu.llm.example.com", pinned = true }
        us = { hostname = "us.llm.example.com", pinned = false }
      }
    }
  }

  assert {
    condition = jsondecode(cloudflare_worker_version.front["sluice-front"].bindings[0].json) == {
      default        = "us"
      forward_pinned = false
      regions = {
        eu = { hostname = "eu.llm.example.com", pinned = true }
        us = { hostname = "us.llm.example.com", pinned = false }
      }
    }
    error_message = "The front is told something else than was asked."
  }

  assert {
    condition     = !cloudflare_worker.front["sluice-front"].observability.enabled
    error_message = "The front keeps logs of every region's requests."
  }
}

run "a_front_that_would_call_itself_is_refused" {
  command = plan

  variables {
    tls_scope = "nobody"
    front = {
      hostname       = "llm.example.com"
      default_region = "mars"
      regions        = { us = { hostname = "llm.example.com", pinned = false } }
    }
  }

  expect_failures = [var.front, var.tls_scope]
}
