# What there is once, however many regions there are: TLS, and the one name in front of all.

locals {
  front = var.front == null ? {} : { (var.front.name) = var.front }
}

resource "cloudflare_zone_setting" "this" {
  for_each = var.tls_scope == "zone" ? {
    always_use_https = "on"
    min_tls_version  = "1.3"
    tls_1_3          = "on"
  } : {}

  zone_id    = var.zone_id
  setting_id = each.key
  value      = each.value
}

resource "cloudflare_hostname_tls_setting" "this" {
  for_each = var.tls_scope == "hostnames" ? var.hostnames : []

  zone_id    = var.zone_id
  hostname   = each.key
  setting_id = "min_tls_version"
  value      = "1.3"
}

resource "cloudflare_worker" "front" {
  for_each = local.front

  account_id = var.account_id
  name       = each.key
  tags       = ["sluice"]

  # It sees every region's requests, so it keeps no log of them.
  observability = {
    enabled = false
  }

  subdomain = {
    enabled          = false
    previews_enabled = false
  }
}

resource "cloudflare_worker_version" "front" {
  for_each = local.front

  account_id         = var.account_id
  worker_id          = cloudflare_worker.front[each.key].id
  main_module        = "front.js"
  compatibility_date = each.value.compatibility_date

  modules = [{
    name         = "front.js"
    content_type = "application/javascript+module"
    content_file = "${path.module}/front.js"
  }]

  bindings = [{
    name = "REGIONS"
    type = "json"
    json = jsonencode({
      default        = each.value.default_region
      forward_pinned = each.value.forward_pinned
      regions        = each.value.regions
    })
  }]

  lifecycle {
    create_before_destroy = true
  }
}

resource "cloudflare_workers_deployment" "front" {
  for_each = local.front

  account_id  = var.account_id
  script_name = cloudflare_worker.front[each.key].name
  strategy    = "percentage"

  versions = [{
    version_id = cloudflare_worker_version.front[each.key].id
    percentage = 100
  }]
}

resource "cloudflare_workers_custom_domain" "front" {
  for_each = local.front

  account_id = var.account_id
  zone_id    = var.zone_id
  hostname   = each.value.hostname
  service    = cloudflare_worker.front[each.key].name

  depends_on = [cloudflare_workers_deployment.front]
}
