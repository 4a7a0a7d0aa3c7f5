# What one region makes of an artefact that needs everything.

mock_provider "cloudflare" {
  mock_resource "cloudflare_worker_version" {
    defaults = { id = "11111111-1111-4111-8111-111111111111" }
  }
}

variables {
  account_id   = "0123456789abcdef0123456789abcdef"
  zone_id      = "fedcba9876543210fedcba9876543210"
  hostnames    = ["llm.example.com"]
  artefact_dir = "./tests/artefact"
  secrets      = { OPENAI_API_KEY = "sk-not-a-key" }
}

run "the_worker_has_what_the_artefact_asks_for" {
  assert {
    condition = [for binding in cloudflare_worker_version.this.bindings : "${binding.name} ${binding.type}"] == [
      "ASSETS assets",
      "BATCHES queue",
      "EU_AUDIT r2_bucket",
      "GREETING plain_text",
      "KEYS kv_namespace",
      "LEDGER durable_object_namespace",
      "OPENAI_API_KEY secret_text",
      "RECORDS r2_bucket",
    ]
    error_message = "The bindings are not those of worker.json, in the order of their names."
  }

  assert {
    condition = { for name, class in cloudflare_worker_version.this.exports : name => join(" ", compact([class.state, class.storage, class.renamed_to])) } == {
      Gone   = "deleted"
      Ledger = "created sqlite"
      Old    = "renamed Ledger"
    }
    error_message = "The classes are not declared as worker.json says."
  }

  assert {
    condition     = cloudflare_worker_version.this.assets.directory == "./tests/artefact/assets"
    error_message = "The assets do not come from the artefact."
  }

  assert {
    condition     = cloudflare_workers_cron_trigger.this["schedules"].schedules[0].cron == "*/5 * * * *"
    error_message = "The schedule is not that of worker.json."
  }
}

run "state_is_called_after_the_worker" {
  variables {
    name = "sluice-test"
  }

  assert {
    condition     = output.bucket_names == { EU_AUDIT = "sluice-test-eu-audit", RECORDS = "sluice-test-records" }
    error_message = "Another worker's buckets would be taken."
  }

  assert {
    condition     = sort(values(cloudflare_queue.this)[*].queue_name) == tolist(["sluice-test-batches", "sluice-test-dead"])
    error_message = "Another worker's queues would be taken."
  }

  assert {
    condition     = cloudflare_queue_consumer.this["sluice-batches"].dead_letter_queue == "sluice-test-dead"
    error_message = "Dead letters go to another worker's queue."
  }

  assert {
    condition     = cloudflare_queue_consumer.this["sluice-batches"].settings.max_wait_time_ms == 5000
    error_message = "Seconds were taken for milliseconds."
  }
}

run "a_bucket_may_be_in_a_jurisdiction_of_its_own" {
  assert {
    condition     = output.residency["bucket/EU_AUDIT"] == "eu" && output.residency["bucket/RECORDS"] == "default"
    error_message = "worker.json's jurisdiction is not heeded."
  }
}

run "records_are_locked" {
  assert {
    condition     = cloudflare_r2_bucket_lock.this["RECORDS"].rules[0].condition.max_age_seconds == 365 * 86400 && cloudflare_r2_bucket_lock.this["RECORDS"].rules[0].enabled
    error_message = "The records are not locked for a year."
  }

  assert {
    condition     = cloudflare_r2_bucket_lock.this["RECORDS"].rules[0].prefix == ""
    error_message = "Some records are not locked."
  }
}

run "a_worker_has_public_names_only" {
  assert {
    condition     = !cloudflare_worker.this.subdomain.enabled && !cloudflare_worker.this.subdomain.previews_enabled
    error_message = "The worker has a name that no TLS setting of the zone holds for."
  }
}

run "the_whole_traffic_goes_to_the_new_version" {
  assert {
    condition     = [for version in cloudflare_workers_deployment.this.versions : "${version.version_id} ${version.percentage}"] == ["11111111-1111-4111-8111-111111111111 100"]
    error_message = "The new version does not serve everything."
  }
}

run "a_rollout_shares_the_traffic" {
  variables {
    rollout = { percentage = 10, previous_version_id = "00000000-0000-4000-8000-000000000000" }
  }

  assert {
    condition = [for version in cloudflare_workers_deployment.this.versions : "${version.version_id} ${version.percentage}"] == [
      "11111111-1111-4111-8111-111111111111 10",
      "00000000-0000-4000-8000-000000000000 90",
    ]
    error_message = "The traffic is not shared as was asked."
  }
}

run "a_rollback_leaves_the_new_version_nothing" {
  variables {
    rollout = { percentage = 0, previous_version_id = "00000000-0000-4000-8000-000000000000" }
  }

  assert {
    condition     = [for version in cloudflare_workers_deployment.this.versions : "${version.version_id} ${version.percentage}"] == ["00000000-0000-4000-8000-000000000000 100"]
    error_message = "The new version still serves."
  }
}

run "an_inherited_secret_has_no_value_here" {
  variables {
    secrets           = {}
    inherited_secrets = ["OPENAI_API_KEY"]
  }

  assert {
    condition     = [for binding in cloudflare_worker_version.this.bindings : binding.type if binding.name == "OPENAI_API_KEY"] == ["inherit"]
    error_message = "The secret is not taken over from the version before."
  }

  assert {
    condition     = output.secret_names == tolist(["OPENAI_API_KEY"])
    error_message = "The secret is not told of."
  }
}

run "a_compiled_configuration_stands_in_for_the_built_in_one" {
  variables {
    configuration_file = "./tests/compiled.json"
  }

  assert {
    condition     = base64decode(one([for module in cloudflare_worker_version.this.modules : module.content_base64 if module.name == "config.js"])) == "export default \"{\\\"resolved\\\": true}\\n\";\n"
    error_message = "config.js does not hold the document as the worker reads it."
  }

  assert {
    condition     = [for module in cloudflare_worker_version.this.modules : module.content_file if module.name == "shim.js"] == ["./tests/artefact/shim.js"]
    error_message = "The other modules do not come from the artefact."
  }
}

run "a_secret_must_not_be_called_like_a_binding" {
  command = plan

  variables {
    secrets = { RECORDS = "x" }
  }

  expect_failures = [cloudflare_worker_version.this]
}

run "another_wasm_than_the_release_states_is_refused" {
  command = plan

  variables {
    wasm_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
  }

  expect_failures = [cloudflare_worker_version.this]
}

run "a_pinned_region_has_no_queues" {
  command = plan

  variables {
    jurisdiction = "eu"
  }

  expect_failures = [cloudflare_queue.this]
}

run "logs_are_pushed_where_they_are_wanted" {
  variables {
    logpush = { destination_conf = "r2://logs/{DATE}?account-id=x" }
  }

  assert {
    condition     = cloudflare_worker.this.logpush && length(cloudflare_logpush_job.this) == 1
    error_message = "No logs are pushed."
  }

  assert {
    condition     = jsondecode(cloudflare_logpush_job.this["workers_trace_events"].filter).where.value == "sluice"
    error_message = "Another worker's logs would be pushed too."
  }
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    account_id         = "not-an-id"
    zone_id            = "example.com"
    name               = "Sluice!"
    jurisdiction       = "us"
    hostnames          = ["https://llm.example.com"]
    artefact_dir       = "./tests/nothing"
    configuration_file = "./tests/nothing.json"
    secrets            = { "openai key" = "x" }
    inherited_secrets  = ["lower"]
    bucket_lock_days   = { RECORDS = 0 }
    bucket_locations   = { RECORDS = "mars" }
    rollout            = { percentage = 101, previous_version_id = "x" }
    cpu_ms_max         = 1
    wasm_sha256        = "abc"
  }

  expect_failures = [
    var.account_id,
    var.zone_id,
    var.name,
    var.jurisdiction,
    var.hostnames,
    var.artefact_dir,
    var.configuration_file,
    var.secrets,
    var.inherited_secrets,
    var.bucket_lock_days,
    var.bucket_locations,
    var.rollout,
    var.cpu_ms_max,
    var.wasm_sha256,
  ]
}
