output "sluice_toml" {
  description = "The configuration, for `sluice compile` and `sluice config apply`."
  value       = local.sluice_toml

  # Whoever deploys it waits for the check.
  depends_on = [terraform_data.check]
}

output "keys_json" {
  description = "The keys that are to be, for `sluice key sync`. No secrets."
  value       = jsonencode(local.keys)
}

output "secret_names" {
  description = "The secrets that the providers' keys, and what seals bodies, are looked for under, as far as they are named here."
  value       = sort(distinct(concat(flatten([for provider in var.model_providers : coalesce(provider.key, [])]), [for org in values(var.orgs) : org.body_key if org.body_key != null])))
}
