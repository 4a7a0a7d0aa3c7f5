output "sluice_toml" {
  description = "The configuration, for `sluice compile` and `sluice config apply`."
  value       = local.sluice_toml

  precondition {
    condition     = length(local.uncounted) == 0
    error_message = "A limit counts one thing: give exactly one of requests, tokens, usd and concurrent. Wrong: ${join(", ", local.uncounted)}."
  }

  precondition {
    condition     = length(local.timeless) == 0
    error_message = "A limit needs per, within how long it counts, such as \"1m\"; only concurrent has none. Wrong: ${join(", ", local.timeless)}."
  }

  # Whoever deploys it waits for the check.
  depends_on = [terraform_data.check]
}

output "keys_json" {
  description = "The keys that are to be, for `sluice key sync`. No secrets."
  value       = local.keys_json
}

output "secret_names" {
  description = "The secrets that the providers' keys, and what seals bodies, are looked for under, as far as they are named here."
  value       = sort(distinct(concat(flatten([for provider in var.model_providers : coalesce(provider.key, [])]), [for org in values(var.orgs) : org.body_key if org.body_key != null])))
}
