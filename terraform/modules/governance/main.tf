# Governance in code: renders who pays, who serves and what is allowed as sluice.toml, and keys as a list of wishes.
#
# Decides nothing that `sluice check` decides, and lists no fields: what the types of the variables name is written.
# JSON is TOML, but for tables within a line: these have `=` for `:`, and nothing in place of null.

locals {
  # A field that was not said, and the name of one that was. Neither is found within a text, whose quotes have a
  # backslash before them, nor between two texts, where there is a comma or a colon.
  unsaid = "/,\"[^\"\\\\,:]+\":null|\"[^\"\\\\,:]+\":null,?/"
  field  = "/\"([^\"\\\\,:]+)\":/"

  # Every level that has limits and budgets, by the table that it is written as.
  scopes = merge(
    { for org, it in var.orgs : "orgs.${jsonencode(org)}" => it },
    { for org, it in var.orgs : "orgs.${jsonencode(org)}.key_defaults" => it.key_defaults if it.key_defaults != null },
    merge([for org, it in var.orgs : { for user, it in it.users : "orgs.${jsonencode(org)}.users.${jsonencode(user)}" => it }]...),
    merge([for org, it in var.orgs : { for team, it in it.teams : "orgs.${jsonencode(org)}.teams.${jsonencode(team)}" => it }]...),
    merge(flatten([for org, it in var.orgs : [for team, it in it.teams : { for app, it in it.apps : "orgs.${jsonencode(org)}.teams.${jsonencode(team)}.apps.${jsonencode(app)}" => it }]])...),
  )
  holders = merge(local.scopes, { for id, key in var.keys : "keys.${jsonencode(id)}" => key })

  # `true`, a number and dollars have no type in common but text, and are told apart here. tobool would take a 1 for true.
  rules = {
    for address, it in local.holders : address => {
      for kind in ["limits", "budgets"] : kind => [
        for rule in it[kind] : merge(rule, {
          for field in ["borrow", "burst"] : field => try({ true = true, false = false }[rule[field]], tonumber(rule.usd == null ? rule[field] : "dollars"), rule[field]) if try(rule[field], null) != null
        })
      ] if it[kind] != null
    }
  }

  limits    = merge([for address, rules in local.rules : { for index, limit in try(rules.limits, []) : "${address}.limits[${index}]" => limit }]...)
  uncounted = [for address, limit in local.limits : address if length([for field in ["requests", "tokens", "usd", "concurrent"] : field if limit[field] != null]) != 1]
  timeless  = [for address, limit in local.limits : address if limit.concurrent == null && limit.per == null]

  # Every table, in the order in which they are written.
  tables = concat(
    [for name, it in var.regions : { address = "regions.${jsonencode(name)}", fields = it }],
    [for it in var.model_providers : { address = "providers.${jsonencode(it.name)}", fields = it }],
    [for name, it in var.routes : { address = "models.${jsonencode(name)}", fields = it }],
    [for name, it in var.prices : { address = "prices.${jsonencode(name)}", fields = it }],
    [for address, it in local.scopes : { address = address, fields = merge(it, local.rules[address]) }],
  )
  # What is a table by itself, or its name.
  apart = ["apps", "key_defaults", "name", "teams", "users"]

  sluice_toml = "${join("\n\n", concat(
    ["# Rendered by Terraform; change it there."],
    ["[gateway]\nregion = ${jsonencode(var.region)}"],
    var.extra_toml == "" ? [] : [trimspace(var.extra_toml)],
    [
      for table in local.tables : join("\n", concat(["[${table.address}]"], [
        for field, value in table.fields : "${field} = ${replace(replace(jsonencode(value), local.unsaid, ""), local.field, "\"$1\" = ")}" if value != null && !contains(local.apart, field)
      ]))
    ],
  ))}\n"

  # What `sluice key sync` brings about.
  keys_json = replace(jsonencode({ for id, key in var.keys : id => merge(key, local.rules["keys.${jsonencode(id)}"]) }), local.unsaid, "")
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
