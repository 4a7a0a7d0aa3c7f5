output "url" {
  description = "The gateway's address."
  value       = module.sluice.url
}

output "admin_token" {
  description = "What opens the admin API."
  value       = module.sluice.admin_token
  sensitive   = true
}

output "keys_json" {
  description = "For `sluice key sync`."
  value       = module.governance.keys_json
}

output "sluice_toml" {
  description = "The configuration."
  value       = module.governance.sluice_toml
}
