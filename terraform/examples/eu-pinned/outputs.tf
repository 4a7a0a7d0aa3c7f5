output "url" {
  description = "The gateway's address; it is served in the EU only."
  value       = module.sluice.url
}

output "residency" {
  description = "Where each thing is."
  value       = module.sluice.residency.eu
}

output "tls_min_version" {
  description = "The oldest TLS version that the name takes."
  value       = module.sluice.tls_min_version
}

output "s3_endpoint" {
  description = "Where an auditor reads the records."
  value       = module.sluice.s3_endpoints.eu
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
