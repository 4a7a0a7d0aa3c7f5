output "url" {
  description = "The one address in front of all regions, or null."
  value       = var.front == null ? null : "https://${var.front.hostname}"

  depends_on = [cloudflare_workers_custom_domain.front]
}

output "tls_min_version" {
  description = "The oldest TLS version that public names take, by where it is set: the zone's identifier or a hostname."
  value = merge(
    { for setting in cloudflare_zone_setting.this : var.zone_id => setting.value if setting.setting_id == "min_tls_version" },
    { for hostname, setting in cloudflare_hostname_tls_setting.this : hostname => setting.value },
  )
}
