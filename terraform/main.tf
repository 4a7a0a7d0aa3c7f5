# The whole gateway on Cloudflare: one worker per region, and what there is once for all of them.

locals {
  regions = {
    for region, it in var.regions : region => {
      name     = region == "global" ? var.name : "${var.name}-${region}"
      hostname = coalesce(it.hostname, region == "global" ? var.hostname : "${region}.${var.hostname}")
      pinned   = it.jurisdiction != null
    }
  }
  hostnames    = toset(values(local.regions)[*].hostname)
  needs_front  = !contains(local.hostnames, var.hostname)
  makes_token  = nonsensitive(var.admin_token == null) && !contains(var.inherited_secrets, "SLUICE_ADMIN_TOKEN")
  admin_token  = local.makes_token ? sensitive(one(values(terraform_data.admin_token)[*].output)) : var.admin_token
  admin_secret = contains(var.inherited_secrets, "SLUICE_ADMIN_TOKEN") ? {} : { SLUICE_ADMIN_TOKEN = local.admin_token }
  makes_id_key = nonsensitive(var.id_key == null) && !contains(var.inherited_secrets, "SLUICE_ID_KEY")
  id_key       = local.makes_id_key ? sensitive(one(values(terraform_data.id_key)[*].output)) : var.id_key
  id_secrets = merge(
    contains(var.inherited_secrets, "SLUICE_ID_KEY") ? {} : { SLUICE_ID_KEY = local.id_key },
    nonsensitive(var.id_key_before == null) ? {} : { SLUICE_ID_KEY_BEFORE = var.id_key_before },
  )
}

resource "terraform_data" "admin_token" {
  for_each = local.makes_token ? toset(["admin_token"]) : toset([])

  # Two random identifiers of 122 bits; replace this resource to rotate the token.
  input = sha256("${uuid()}${uuid()}")

  lifecycle {
    ignore_changes = [input]
  }
}

resource "terraform_data" "id_key" {
  for_each = local.makes_id_key ? toset(["id_key"]) : toset([])

  # Two random identifiers of 122 bits, the same for all regions.
  input = sha256("${uuid()}${uuid()}")

  lifecycle {
    ignore_changes = [input]
  }
}

module "region" {
  source   = "./modules/cloudflare-region"
  for_each = var.regions

  account_id         = var.account_id
  zone_id            = var.zone_id
  name               = local.regions[each.key].name
  jurisdiction       = each.value.jurisdiction
  hostnames          = [local.regions[each.key].hostname]
  artefact_dir       = var.artefact_dir
  wasm_sha256        = var.wasm_sha256
  configuration_file = each.value.configuration_file
  secrets            = merge(var.provider_keys, try(var.region_secrets[each.key], {}), local.admin_secret, local.id_secrets)
  inherited_secrets  = var.inherited_secrets
  bucket_lock_days   = each.value.bucket_lock_days
  bucket_locations   = each.value.bucket_locations
  rollout            = each.value.rollout
  logpush            = try(var.logpush[each.key], null)
  tags               = var.tags
}

module "global" {
  source = "./modules/cloudflare-global"

  account_id = var.account_id
  zone_id    = var.zone_id
  tls_scope  = var.tls_scope
  hostnames  = setunion(local.hostnames, [var.hostname])

  front = !local.needs_front ? null : {
    name           = "${var.name}-front"
    hostname       = var.hostname
    default_region = coalesce(var.default_region, keys(var.regions)[0])
    forward_pinned = var.forward_pinned
    regions        = { for region, it in local.regions : region => { hostname = it.hostname, pinned = it.pinned } }
  }
}

resource "terraform_data" "configuration" {
  for_each = var.sluice_command == null ? {} : var.configurations

  # A new version brings the document that was built into it, so the configuration is put in force again.
  triggers_replace = [each.value, module.region[each.key].version_id]

  provisioner "local-exec" {
    interpreter = ["/bin/sh", "-euc"]
    # A new name takes a while to be known, and its certificate to be made.
    command = <<-SHELL
      folder=$(mktemp -d)
      trap 'rm -rf "$folder"' EXIT
      printf '%s' "$SLUICE_TOML" > "$folder/sluice.toml"
      "$SLUICE_COMMAND" check "$folder/sluice.toml"
      for attempt in $(seq 60); do
        if "$SLUICE_COMMAND" config apply "$folder/sluice.toml" --url "$SLUICE_URL" --author terraform --reason "terraform apply"; then
          exit 0
        fi
        [ "$attempt" = 60 ] || sleep 5
      done
      exit 1
    SHELL
    environment = merge(
      {
        SLUICE_COMMAND = var.sluice_command
        SLUICE_TOML    = each.value
        SLUICE_URL     = module.region[each.key].urls[0]
      },
      local.admin_secret,
    )
  }
}
