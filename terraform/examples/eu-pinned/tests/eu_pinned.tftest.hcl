# Everything is in the EU, or is not there. tests/terraform breaks each resource in turn, and this must notice.

mock_provider "cloudflare" {}

variables {
  account_id        = "0123456789abcdef0123456789abcdef"
  zone_id           = "fedcba9876543210fedcba9876543210"
  hostname          = "llm.example.eu"
  openai_eu_api_key = "sk-not-a-key"
}

run "everything_is_in_the_eu" {
  # Key hashes and policies, without personal data, are the one thing that is copied everywhere.
  assert {
    condition = alltrue([
      for thing, place in output.residency :
      contains(["eu", "none"], place) || thing == "kv_namespace/KEYS" || (startswith(thing, "durable_object/") && place == "worker")
    ])
    error_message = "Not in the EU: ${join(", ", [for thing, place in output.residency : "${thing} (${place})" if !contains(["eu", "none", "worker"], place)])}"
  }

  assert {
    condition     = lookup(output.residency, "hostname/llm.example.eu", "absent") == "eu" && lookup(output.residency, "regional_hostname/llm.example.eu", "absent") == "eu"
    error_message = "The public name is not held to the EU."
  }

  assert {
    condition     = lookup(output.residency, "bucket/RECORDS", "absent") == "eu" && lookup(output.residency, "bucket_lock/RECORDS", "absent") == "eu" && lookup(output.residency, "bucket_binding/RECORDS", "absent") == "eu"
    error_message = "The records are not in a locked bucket in the EU."
  }

  assert {
    condition     = output.url == "https://llm.example.eu"
    error_message = "A worker outside the EU stands before the gateway: ${output.url}"
  }

  assert {
    condition     = output.s3_endpoint == "https://0123456789abcdef0123456789abcdef.eu.r2.cloudflarestorage.com"
    error_message = "The records are read at an address of the EU."
  }

  assert {
    condition     = lookup(output.tls_min_version, "fedcba9876543210fedcba9876543210", "absent") == "1.3"
    error_message = "TLS 1.3 is the oldest allowed."
  }
}
