variable "region" {
  description = "Where the gateway runs: the label in its records and headers."
  type        = string
  default     = "global"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,128}$", var.region))
    error_message = "A region's name is letters, digits, - and _."
  }
}

variable "extra_toml" {
  description = "Tables of sluice.toml that have no variable here, such as `[gateway.timeouts]`; they stand first, as written. What comes before the first table belongs to `[gateway]`, such as `request_bytes_max`. A table that a variable writes cannot stand here again."
  type        = string
  default     = ""
}

variable "regions" {
  description = "Regions that callers can be held to, or ask for: the countries of each, the jurisdiction of its objects (`eu` and `us` have both by themselves), and the binding of the bucket that takes its records. `entered_within` says that callers enter within it: only Regional Services on the hostname makes it so."
  type = map(object({
    countries      = optional(list(string))
    jurisdiction   = optional(string)
    bucket         = optional(string)
    entered_within = optional(bool)
  }))
  default = {}

  validation {
    condition     = alltrue([for region in values(var.regions) : region.jurisdiction == null || contains(["eu", "us", "fedramp", "own"], coalesce(region.jurisdiction, "-"))])
    error_message = "A jurisdiction is \"eu\", \"us\", \"fedramp\" or \"own\"."
  }
}

variable "model_providers" {
  description = "Model providers in the order in which they are asked for a bare model name. A name that the catalogue knows needs nothing else. `key` names the secrets that hold its key, those that are set being tried in turn; never the secrets themselves. `capacity` says how many calls it takes at once, and how long a request waits for its turn. `retry` and `circuit` hold for all its models. What is known of models, departures from the dialect, and a key in a header of another name go into `extra_toml`, as `[providers.<name>.models.<model>]`, `[providers.<name>.quirks]` and `[providers.<name>.auth]`."
  type = list(object({
    name             = string
    catalogue        = optional(string)
    dialect          = optional(string)
    base_url         = optional(string)
    key              = optional(list(string))
    auth             = optional(string)
    region           = optional(string)
    country          = optional(string)
    country_by       = optional(string)
    baa              = optional(bool)
    egress           = optional(string)
    egress_when      = optional(string)
    models_allow     = optional(list(string))
    models_deny      = optional(list(string))
    discount_percent = optional(number)
    aws              = optional(map(string))
    azure            = optional(map(string))
    google           = optional(map(string))
    headers          = optional(map(string))
    timeouts         = optional(map(string))
    retry            = optional(object({ attempts_max = optional(number), backoff_base = optional(string), backoff_max = optional(string) }))
    circuit          = optional(object({ failures_max = optional(number), error_percent = optional(number), window = optional(string), calls_min = optional(number), open = optional(string), open_max = optional(string), failures = optional(list(string)), look = optional(string) }))
    capacity         = optional(object({ concurrent = number, queue = optional(string) }))
    models           = optional(map(object({})))
    quirks           = optional(object({}))
  }))
  default = []

  validation {
    condition     = length(distinct(var.model_providers[*].name)) == length(var.model_providers)
    error_message = "Two providers have one name."
  }

  validation {
    condition     = alltrue([for provider in var.model_providers : provider.models == null && provider.quirks == null])
    error_message = "A provider's models and quirks have no field here; write them as [providers.<name>.models.<model>] and [providers.<name>.quirks] in extra_toml."
  }

  validation {
    condition     = alltrue(flatten([for provider in var.model_providers : [for name in coalesce(provider.key, []) : can(regex("^[A-Z][A-Z0-9_]*$", name))]]))
    error_message = "A provider's key is told by the names of secrets: capitals, digits and _. Never the key itself."
  }

  validation {
    condition = alltrue([
      for count in [for provider in var.model_providers : provider.capacity.concurrent if provider.capacity != null] : count >= 1 && count <= 10000 && floor(count) == count
    ])
    error_message = "providers.<name>.capacity.concurrent is out of range; allowed are whole numbers from 1 to 10000."
  }

  validation {
    condition = alltrue([
      for queue in [for provider in var.model_providers : provider.capacity.queue if try(provider.capacity.queue, null) != null] : can(regex("^[0-9]+(us|ms|s|m|h|d)$", queue))
    ])
    error_message = "providers.<name>.capacity.queue is not a duration; write a whole number and a unit, such as \"250ms\", \"30s\" or \"1m\"."
  }

  validation {
    condition = alltrue([
      for micros in [
        for provider in var.model_providers : try(tonumber(regex("^[0-9]+", provider.capacity.queue)) * { us = 1, ms = 1000, s = 1000000, m = 60000000, h = 3600000000, d = 86400000000 }[regex("[a-z]+$", provider.capacity.queue)], 1000)
      ] : micros >= 1000 && micros <= 60000000
    ])
    error_message = "providers.<name>.capacity.queue is out of range; allowed are 1ms to 1m."
  }
}

variable "routes" {
  description = "Public model names, and where each leads: the first target serves, the next one when it fails. `retry` says how often one is called, `circuit` when it is left alone, for all targets or for one. With `hedge` another target is called beside one that has not answered `after` so long, for `percent_max` of a hundred requests at most (10 unless it is said)."
  type = map(object({
    targets = list(object({
      provider    = string
      model       = string
      egress      = optional(string)
      egress_when = optional(string)
      retry       = optional(object({ attempts_max = optional(number), backoff_base = optional(string), backoff_max = optional(string) }))
      circuit     = optional(object({ failures_max = optional(number), error_percent = optional(number), window = optional(string), calls_min = optional(number), open = optional(string), open_max = optional(string), failures = optional(list(string)), look = optional(string) }))
    }))
    retry       = optional(object({ attempts_max = optional(number), backoff_base = optional(string), backoff_max = optional(string) }))
    circuit     = optional(object({ failures_max = optional(number), error_percent = optional(number), window = optional(string), calls_min = optional(number), open = optional(string), open_max = optional(string), failures = optional(list(string)), look = optional(string) }))
    fallback_on = optional(list(string))
    hedge       = optional(object({ after = string, percent_max = optional(number) }))
  }))
  default = {}

  validation {
    condition     = alltrue([for route in values(var.routes) : length(route.targets) >= 1 && length(route.targets) <= 8])
    error_message = "A route has 1 to 8 targets."
  }

  validation {
    condition     = alltrue([for route in values(var.routes) : route.hedge == null || length(route.targets) != 1])
    error_message = "models.<name>.hedge has nobody to call beside the only target; name another target."
  }

  validation {
    condition     = alltrue([for route in values(var.routes) : can(regex("^[0-9]+(us|ms|s|m|h|d)$", route.hedge.after)) if route.hedge != null])
    error_message = "models.<name>.hedge.after is not a duration; write a whole number and a unit, such as \"250ms\", \"2s\" or \"1m\"."
  }

  validation {
    condition = alltrue([
      for micros in [
        for route in values(var.routes) : try(tonumber(regex("^[0-9]+", route.hedge.after)) * { us = 1, ms = 1000, s = 1000000, m = 60000000, h = 3600000000, d = 86400000000 }[regex("[a-z]+$", route.hedge.after)], 10000)
      ] : micros >= 10000 && micros <= 60000000
    ])
    error_message = "models.<name>.hedge.after is out of range; allowed are 10ms to 1m."
  }

  validation {
    condition = alltrue([
      for percent in [for route in values(var.routes) : coalesce(try(route.hedge.percent_max, null), 10)] : percent >= 1 && percent <= 100 && floor(percent) == percent
    ])
    error_message = "models.<name>.hedge.percent_max is out of range; allowed are whole numbers from 1 to 100."
  }
}

variable "prices" {
  description = "Prices of your own by \"provider/model\", in dollars for a million tokens, or for a request, an image, a million characters or a second, as text. `above` has other prices for inputs of more than `input_tokens`. Prices with several first days go into `extra_toml`, as `[[prices.\"provider/model\"]]`."
  type = map(object({
    effective_from         = optional(string)
    input                  = optional(string)
    output                 = optional(string)
    input_cached           = optional(string)
    cache_write_5m         = optional(string)
    cache_write_1h         = optional(string)
    reasoning              = optional(string)
    input_audio            = optional(string)
    output_audio           = optional(string)
    input_image            = optional(string)
    per_request            = optional(string)
    per_image              = optional(string)
    per_million_characters = optional(string)
    per_second             = optional(string)
    above = optional(list(object({
      input_tokens   = number
      input          = optional(string)
      output         = optional(string)
      input_cached   = optional(string)
      cache_write_5m = optional(string)
      cache_write_1h = optional(string)
      reasoning      = optional(string)
      input_audio    = optional(string)
      output_audio   = optional(string)
      input_image    = optional(string)
    })))
  }))
  default = {}
}

variable "orgs" {
  description = "Who pays: organisations, their teams, the teams' apps, and users. Every level has limits and budgets, and may be held to models, to `accounting`, to a region, and to providers with an agreement on health data (`data = \"phi\"`). A limit counts one of `requests`, `tokens`, `usd` (each within `per`) and `concurrent`; it may have a `burst`, a `queue`, or `borrow`, as budgets may: `true`, or how much at most. `time_zone` says where the days and months of an organisation's or a team's budgets begin. `home` names the region whose ledger the ledgers of an organisation's other regions lease from, `shards` says among how many ledgers its keys are divided in each region. `bodies` (`\"redacted\"` or `\"full\"`) puts what is asked and answered on record, sealed under the secret that the organisation's `body_key` names."
  type = map(object({
    limits     = optional(list(object({ requests = optional(number), tokens = optional(number), usd = optional(string), per = optional(string), burst = optional(string), concurrent = optional(number), queue = optional(string), borrow = optional(string) })))
    budgets    = optional(list(object({ usd = string, per = string, borrow = optional(string) })))
    models     = optional(list(string))
    time_zone  = optional(string)
    accounting = optional(string)
    region     = optional(string)
    regions    = optional(list(string))
    home       = optional(string)
    shards     = optional(number)
    data       = optional(string)
    bodies     = optional(string)
    body_key   = optional(string)
    teams = optional(map(object({
      limits     = optional(list(object({ requests = optional(number), tokens = optional(number), usd = optional(string), per = optional(string), burst = optional(string), concurrent = optional(number), queue = optional(string), borrow = optional(string) })))
      budgets    = optional(list(object({ usd = string, per = string, borrow = optional(string) })))
      models     = optional(list(string))
      time_zone  = optional(string)
      accounting = optional(string)
      region     = optional(string)
      regions    = optional(list(string))
      data       = optional(string)
      bodies     = optional(string)
      apps = optional(map(object({
        limits     = optional(list(object({ requests = optional(number), tokens = optional(number), usd = optional(string), per = optional(string), burst = optional(string), concurrent = optional(number), queue = optional(string), borrow = optional(string) })))
        budgets    = optional(list(object({ usd = string, per = string, borrow = optional(string) })))
        models     = optional(list(string))
        accounting = optional(string)
        region     = optional(string)
        regions    = optional(list(string))
        data       = optional(string)
        bodies     = optional(string)
      })), {})
    })), {})
    users = optional(map(object({
      limits     = optional(list(object({ requests = optional(number), tokens = optional(number), usd = optional(string), per = optional(string), burst = optional(string), concurrent = optional(number), queue = optional(string), borrow = optional(string) })))
      budgets    = optional(list(object({ usd = string, per = string, borrow = optional(string) })))
      models     = optional(list(string))
      accounting = optional(string)
      region     = optional(string)
      regions    = optional(list(string))
      data       = optional(string)
      bodies     = optional(string)
    })), {})
    key_defaults = optional(object({
      limits        = optional(list(object({ requests = optional(number), tokens = optional(number), usd = optional(string), per = optional(string), burst = optional(string), concurrent = optional(number), queue = optional(string), borrow = optional(string) })))
      budgets       = optional(list(object({ usd = string, per = string, borrow = optional(string) })))
      expires_after = optional(string)
    }))
  }))
  default = {}

  validation {
    condition = alltrue([
      for bodies in flatten([
        for org in values(var.orgs) : concat(
          [org.bodies], values(org.users)[*].bodies, values(org.teams)[*].bodies, [for team in values(org.teams) : values(team.apps)[*].bodies],
        )
      ]) : bodies == null || contains(["none", "redacted", "full"], coalesce(bodies, "none"))
    ])
    error_message = "What of bodies is on record is \"none\", \"redacted\" or \"full\", or not said."
  }

  validation {
    condition     = alltrue([for shards in values(var.orgs)[*].shards : coalesce(shards, 1) >= 1 && coalesce(shards, 1) <= 32 && floor(coalesce(shards, 1)) == coalesce(shards, 1)])
    error_message = "orgs.<org>.shards is out of range; allowed are whole numbers from 1 to 32."
  }

  validation {
    condition     = alltrue([for home in values(var.orgs)[*].home : contains(concat(keys(var.regions), [var.region]), coalesce(home, var.region))])
    error_message = "orgs.<org>.home names no region; known are those in regions, and the gateway's own."
  }
}

variable "keys" {
  description = "Virtual keys by an identifier of yours that never changes. To rotate one, raise its `version`: `sluice key sync` makes the new secret, and revokes the old one `grace` later. Secrets are never here."
  type = map(object({
    org     = string
    team    = optional(string)
    app     = optional(string)
    user    = optional(string)
    models  = optional(list(string), [])
    limits  = optional(list(object({ requests = optional(number), tokens = optional(number), usd = optional(string), per = optional(string), burst = optional(string), concurrent = optional(number), queue = optional(string), borrow = optional(string) })), [])
    budgets = optional(list(object({ usd = string, per = string, borrow = optional(string) })), [])
    expires = optional(string)
    strict  = optional(bool, false)
    region  = optional(string)
    regions = optional(list(string), [])
    data    = optional(string)
    version = optional(number, 1)
    grace   = optional(string, "24h")
  }))
  default = {}

  validation {
    condition     = alltrue([for id in keys(var.keys) : can(regex("^[a-z0-9][a-z0-9._-]{0,62}$", id))])
    error_message = "A key's identifier is small letters, digits, dots, dashes and _, at most 63 of them."
  }

  validation {
    condition     = alltrue([for key in values(var.keys) : key.version >= 1 && floor(key.version) == key.version])
    error_message = "A key's version is 1 or more, and a whole number."
  }

  validation {
    condition     = alltrue([for key in values(var.keys) : can(regex("^[0-9]+[smhd]$", key.grace))])
    error_message = "A grace is a whole number and one of s, m, h, d."
  }

  validation {
    condition     = alltrue([for key in values(var.keys) : key.data == null || key.data == "phi"])
    error_message = "What a key's requests hold is \"phi\", or not said."
  }

  validation {
    condition     = alltrue([for key in values(var.keys) : key.app == null || key.team != null])
    error_message = "An app belongs to a team: a key with an app needs its team."
  }

  validation {
    condition = alltrue([
      for key in values(var.keys) : contains(keys(var.orgs), key.org)
      && (key.team == null || contains(keys(try(var.orgs[key.org].teams, {})), coalesce(key.team, "-")))
      && (key.app == null || contains(keys(try(var.orgs[key.org].teams[key.team].apps, {})), coalesce(key.app, "-")))
      && (key.user == null || contains(keys(try(var.orgs[key.org].users, {})), coalesce(key.user, "-")))
    ])
    error_message = "A key names an organisation, a team, an app or a user that is not declared in orgs."
  }
}

variable "sluice_command" {
  description = "The `sluice` command. When it is given, the configuration is checked with it before anything is deployed; null checks nothing."
  type        = string
  default     = null
}
