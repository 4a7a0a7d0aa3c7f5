output "url" {
  description = "The gateway's address: what applications use as base URL, with /v1 behind it."
  value       = local.needs_front ? module.global.url : "https://${var.hostname}"

  depends_on = [module.region]
}

output "region_urls" {
  description = "The regions' own addresses."
  value       = { for region, it in module.region : region => it.urls[0] }

  precondition {
    condition     = length(local.hostnames) == length(var.regions)
    error_message = "Two regions have one hostname."
  }
}

output "admin_token" {
  description = "What opens the admin API; null where Terraform does not know it."
  value       = local.admin_token
  sensitive   = true
}

output "worker_names" {
  description = "The workers' names, by region, for `wrangler secret put NAME --name WORKER` and `wrangler tail WORKER`."
  value       = { for region, it in module.region : region => it.worker_name }
}

output "version_ids" {
  description = "The versions of artefact_dir, by region; what `rollout.previous_version_id` names at the next upgrade."
  value       = { for region, it in module.region : region => it.version_id }
}

output "bucket_names" {
  description = "The R2 buckets, by region and binding."
  value       = { for region, it in module.region : region => it.bucket_names }
}

output "s3_endpoints" {
  description = "Where auditors and backups read the buckets with S3's API, by region."
  value       = { for region, it in module.region : region => it.s3_endpoint }
}

output "residency" {
  description = "Where each thing is, by region; see modules/cloudflare-region."
  value       = { for region, it in module.region : region => it.residency }
}

output "tls_min_version" {
  description = "The oldest TLS version that public names take."
  value       = module.global.tls_min_version
}

output "gateway_toml" {
  description = "What sluice.toml must say of each region."
  value       = { for region in keys(var.regions) : region => "[gateway]\nregion = ${jsonencode(region)}\n" }
}

output "wrangler_toml" {
  description = "The tables of wrangler.toml that name what was made, by region."
  value       = { for region, it in module.region : region => it.wrangler_toml }
}
