variable "account_id" {
  description = "The Cloudflare account that the gateway runs in: 32 hexadecimal digits."
  type        = string
  nullable    = false
}

variable "zone_id" {
  description = "The zone that the gateway's names belong to: 32 hexadecimal digits."
  type        = string
  nullable    = false
}

variable "hostname" {
  description = "The gateway's public name, such as llm.example.com."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", var.hostname))
    error_message = "The hostname is a full name in small letters, such as llm.example.com."
  }
}

variable "name" {
  description = "What the worker is called; a region other than `global` adds its own name."
  type        = string
  default     = "sluice"
  nullable    = false
}

variable "artefact_dir" {
  description = "The folder with the built worker: a release, unpacked, or `build` after `cargo xtask build --release`."
  type        = string
  nullable    = false
}

variable "wasm_sha256" {
  description = "The SHA-256 of index_bg.wasm, as the release states it; null takes whatever lies there."
  type        = string
  default     = null
}

variable "regions" {
  description = <<-TEXT
    The regions, by name. Each is a worker with state, keys and a public name of its own; adding one changes no other.
    `global` alone is called like the gateway itself and has its hostname; any other region has `<region>.<hostname>`, unless it names one.
    Where no region has the gateway's own hostname, a small worker there passes requests on to the regions.
  TEXT
  type = map(object({
    jurisdiction       = optional(string)
    hostname           = optional(string)
    bucket_lock_days   = optional(map(number), { RECORDS = 365 })
    bucket_locations   = optional(map(string), {})
    configuration_file = optional(string)
    rollout = optional(object({
      percentage          = number
      previous_version_id = string
    }))
  }))
  default  = { global = {} }
  nullable = false

  validation {
    condition     = length(var.regions) > 0
    error_message = "A gateway has at least one region."
  }

  validation {
    condition     = alltrue([for region in keys(var.regions) : can(regex("^[a-z][a-z0-9-]{0,15}$", region))])
    error_message = "A region's name is small letters, digits and dashes, at most 16."
  }
}

variable "default_region" {
  description = "The region that serves requests to the one name which ask for none; null takes the first in the order of names."
  type        = string
  default     = null
}

variable "forward_pinned" {
  description = "Whether the one name passes requests on to regions with a jurisdiction. They then enter the network wherever the caller is near, and only from there on stay in the region."
  type        = bool
  default     = false
  nullable    = false
}

variable "provider_keys" {
  description = "Providers' keys by the names that the configuration gives them, such as OPENAI_API_KEY; every region gets them. They are in the state, marked sensitive; `inherited_secrets` are not."
  type        = map(string)
  default     = {}
  sensitive   = true
  nullable    = false
}

variable "region_secrets" {
  description = "Secrets of single regions, by region and name; they stand before `provider_keys`."
  type        = map(map(string))
  default     = {}
  sensitive   = true
  nullable    = false
}

variable "inherited_secrets" {
  description = "Names of secrets that the running workers have already, put there with `wrangler secret put`: each new version takes them over, and no state ever holds them."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "admin_token" {
  description = "What opens the admin API. Null makes one of 244 random bits and keeps it in the state; with SLUICE_ADMIN_TOKEN in `inherited_secrets`, Terraform never knows it."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.admin_token == null || length(coalesce(var.admin_token, "-")) >= 32
    error_message = "An admin token has at least 32 characters; null makes a good one."
  }
}

variable "id_key" {
  description = "What seals the identifiers of files and batches. Null makes one of 244 random bits and keeps it in the state; with SLUICE_ID_KEY in `inherited_secrets`, Terraform never knows it."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.id_key == null || length(coalesce(var.id_key, "-")) >= 32
    error_message = "A key for identifiers has at least 32 characters; null makes a good one."
  }
}

variable "id_key_before" {
  description = "The `id_key` before the present one: what it has sealed stays usable."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.id_key_before == null || length(coalesce(var.id_key_before, "-")) >= 32
    error_message = "A key for identifiers has at least 32 characters."
  }
}

variable "tls_scope" {
  description = "For whom TLS 1.3 is the oldest allowed: `zone` for every name of the zone; `hostnames` for the gateway's alone, which needs Advanced Certificate Manager."
  type        = string
  default     = "zone"
  nullable    = false
}

variable "logpush" {
  description = "Where the workers' trace events are pushed, by region. A pinned region's destination must be declared to be in its jurisdiction."
  type = map(object({
    destination_conf = string
    jurisdiction     = optional(string)
  }))
  default   = {}
  sensitive = true
  nullable  = false
}

variable "configurations" {
  description = "The regions' configurations as texts of TOML, such as modules/governance renders; put in force with `sluice_command` after the deployment."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.configurations), keys(var.regions))) == 0
    error_message = "There is a configuration for a region that does not exist."
  }
}

variable "sluice_command" {
  description = "The `sluice` command, which puts `configurations` in force once the gateway serves; null leaves that to you."
  type        = string
  default     = null
}

variable "tags" {
  description = "Labels of the workers."
  type        = set(string)
  default     = ["sluice"]
  nullable    = false
}
