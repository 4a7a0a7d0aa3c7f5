output "url" {
  description = "The one address."
  value       = module.sluice.url
}

output "region_urls" {
  description = "The regions' own addresses."
  value       = module.sluice.region_urls
}

output "residency" {
  description = "Where each thing is, by region."
  value       = module.sluice.residency
}

output "worker_names" {
  description = "The workers, by region."
  value       = module.sluice.worker_names
}

output "bucket_names" {
  description = "The buckets, by region and binding."
  value       = module.sluice.bucket_names
}

output "admin_token" {
  description = "What opens the admin API of both."
  value       = module.sluice.admin_token
  sensitive   = true
}

output "keys_json" {
  description = "For `sluice key sync`, by region: a key is known in one region only."
  value       = { for region, governance in module.governance : region => governance.keys_json }
}

output "sluice_toml" {
  description = "The configurations, by region."
  value       = { for region, governance in module.governance : region => governance.sluice_toml }
}
