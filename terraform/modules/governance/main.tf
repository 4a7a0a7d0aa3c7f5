# Governance in code: renders who pays, who serves and what is allowed as sluice.toml, and keys as a list of wishes.
#
# Decides nothing that `sluice check` decides. JSON's texts, numbers and arrays are TOML's too, so values are written
# with jsonencode; only tables differ.

locals {
  # A limit or a budget as an inline table.
  rules = {
    for address, scope in local.scopes : address => {
      limits = [for limit in scope.limits : join("", [
        "{ ", limit.requests != null ? "requests = ${limit.requests}, " : "", limit.tokens != null ? "tokens = ${limit.tokens}, " : "", limit.usd != null ? "usd = ${jsonencode(limit.usd)}, " : "", "per = ${jsonencode(limit.per)} }",
      ])]
      budgets = [for budget in scope.budgets : "{ usd = ${jsonencode(budget.usd)}, per = ${jsonencode(budget.per)} }"]
    }
  }

  # Every level that has limits and budgets, by the table that it is written as.
  scopes = merge(
    { for org, it in var.orgs : "orgs.${jsonencode(org)}" => { limits = it.limits, budgets = it.budgets, models = it.models, expires_after = null, region = it.region, regions = it.regions, home = it.home, shards = it.shards, data = it.data, bodies = it.bodies, body_key = it.body_key } },
    { for org, it in var.orgs : "orgs.${jsonencode(org)}.key_defaults" => { limits = it.key_defaults.limits, budgets = it.key_defaults.budgets, models = null, expires_after = it.key_defaults.expires_after, region = null, regions = null, home = null, shards = null, data = null, bodies = null, body_key = null } if it.key_defaults != null },
    merge([for org, it in var.orgs : { for user, it in it.users : "orgs.${jsonencode(org)}.users.${jsonencode(user)}" => { limits = it.limits, budgets = it.budgets, models = it.models, expires_after = null, region = it.region, regions = it.regions, home = null, shards = null, data = it.data, bodies = it.bodies, body_key = null } }]...),
    merge([for org, it in var.orgs : { for team, it in it.teams : "orgs.${jsonencode(org)}.teams.${jsonencode(team)}" => { limits = it.limits, budgets = it.budgets, models = it.models, expires_after = null, region = it.region, regions = it.regions, home = null, shards = null, data = it.data, bodies = it.bodies, body_key = null } }]...),
    merge(flatten([for org, it in var.orgs : [for team, it in it.teams : { for app, it in it.apps : "orgs.${jsonencode(org)}.teams.${jsonencode(team)}.apps.${jsonencode(app)}" => { limits = it.limits, budgets = it.budgets, models = it.models, expires_after = null, region = it.region, regions = it.regions, home = null, shards = null, data = it.data, bodies = it.bodies, body_key = null } }]])...),
  )

  scope_tables = [
    for address, scope in local.scopes : join("\n", concat(
      ["[${address}]"],
      length(scope.limits) == 0 ? [] : ["limits = [${join(", ", local.rules[address].limits)}]"],
      length(scope.budgets) == 0 ? [] : ["budgets = [${join(", ", local.rules[address].budgets)}]"],
      scope.models == null ? [] : ["models = ${jsonencode(scope.models)}"],
      scope.expires_after == null ? [] : ["expires_after = ${jsonencode(scope.expires_after)}"],
      [for field in ["region", "regions", "home", "shards", "data", "bodies", "body_key"] : "${field} = ${jsonencode(scope[field])}" if scope[field] != null],
    ))
  ]

  region_tables = [
    for name, region in var.regions : join("\n", concat(
      ["[regions.${jsonencode(name)}]"],
      [for field, value in region : "${field} = ${jsonencode(value)}" if value != null],
    ))
  ]

  # Lines without what was not said.
  table_fields = ["aws", "azure", "capacity", "google", "headers", "timeouts"]
  provider_tables = [
    for provider in var.model_providers : join("\n", concat(
      ["[providers.${jsonencode(provider.name)}]"],
      [for field, value in provider : "${field} = ${jsonencode(value)}" if !contains(concat(["name", "key"], local.table_fields), field) && value != null],
      provider.key == null ? [] : ["key = ${length(provider.key) == 1 ? jsonencode(provider.key[0]) : jsonencode(provider.key)}"],
      [for field, value in provider : "${field} = { ${join(", ", [for name, setting in value : "${jsonencode(name)} = ${jsonencode(setting)}" if setting != null])} }" if contains(local.table_fields, field) && value != null],
    ))
  ]

  route_tables = [
    for name, route in var.routes : join("\n", concat(
      ["[models.${jsonencode(name)}]"],
      ["targets = [${join(", ", [for target in route.targets : "{ provider = ${jsonencode(target.provider)}, model = ${jsonencode(target.model)} }"])}]"],
      route.fallback_on == null ? [] : ["fallback_on = ${jsonencode(route.fallback_on)}"],
      route.hedge == null ? [] : ["hedge = { ${join(", ", [for name, setting in route.hedge : "${name} = ${jsonencode(setting)}" if setting != null])} }"],
    ))
  ]

  price_tables = [
    for name, price in var.prices : join("\n", concat(
      ["[prices.${jsonencode(name)}]"],
      [for field, value in price : "${field} = ${jsonencode(value)}" if value != null],
    ))
  ]

  sluice_toml = "${join("\n\n", concat(
    ["# Rendered by Terraform; change it there."],
    ["[gateway]\nregion = ${jsonencode(var.region)}"],
    var.extra_toml == "" ? [] : [trimspace(var.extra_toml)],
    local.region_tables,
    local.provider_tables,
    local.route_tables,
    local.price_tables,
    local.scope_tables,
  ))}\n"

  # What `sluice key sync` brings about.
  keys = {
    for id, key in var.keys : id => merge(
      { for field, value in key : field => value if value != null && !contains(["limits", "budgets"], field) },
      {
        limits  = [for limit in key.limits : { for field, value in limit : field => value if value != null }]
        budgets = key.budgets
      },
    )
  }
}

resource "terraform_data" "check" {
  for_each = var.sluice_command == null ? toset([]) : toset(["sluice.toml"])

  triggers_replace = [local.sluice_toml]

  # A configuration with a mistake stops the run here, before anything is deployed.
  provisioner "local-exec" {
    interpreter = ["/bin/sh", "-euc"]
    command     = <<-SHELL
      folder=$(mktemp -d)
      trap 'rm -rf "$folder"' EXIT
      printf '%s' "$SLUICE_TOML" > "$folder/sluice.toml"
      "$SLUICE_COMMAND" check "$folder/sluice.toml"
    SHELL
    environment = {
      SLUICE_COMMAND = var.sluice_command
      SLUICE_TOML    = local.sluice_toml
    }
  }
}
