variable "account_id" {
  description = "The Cloudflare account that the gateway runs in."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{32}$", var.account_id))
    error_message = "An account id is 32 hexadecimal digits in lower case."
  }
}

variable "zone_id" {
  description = "The zone that `hostnames` belong to."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{32}$", var.zone_id))
    error_message = "A zone id is 32 hexadecimal digits in lower case."
  }
}

variable "name" {
  description = "What the worker is called; its buckets, queues and namespaces are called after it. Changing it replaces them."
  type        = string
  default     = "sluice"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "A name is 3 to 40 small letters, digits and dashes; it begins with a letter and does not end with a dash."
  }
}

variable "jurisdiction" {
  description = "Where state must stay: `eu` or null. Holds for buckets and their locks, and for the public names; the configuration must ask the same of the Durable Objects."
  type        = string
  default     = null

  validation {
    condition     = var.jurisdiction == null || var.jurisdiction == "eu"
    error_message = "The jurisdiction is \"eu\" or null. Cloudflare's public names can be held to the EU only."
  }
}

variable "hostnames" {
  description = "The public names that lead to this worker. Their DNS records and certificates are made with them."
  type        = set(string)

  validation {
    condition     = alltrue([for hostname in var.hostnames : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", hostname))])
    error_message = "A hostname is a full name in small letters, such as llm.example.com."
  }
}

variable "artefact_dir" {
  description = "The folder with the built worker: a release, unpacked, or `build` after `cargo xtask build --release`."
  type        = string

  validation {
    condition     = fileexists("${var.artefact_dir}/worker.json")
    error_message = "There is no worker.json in artefact_dir: unpack a release there, or run `cargo xtask build --release`."
  }
}

variable "wasm_sha256" {
  description = "The SHA-256 of index_bg.wasm, as the release states it; null takes whatever lies there."
  type        = string
  default     = null

  validation {
    condition     = var.wasm_sha256 == null || can(regex("^[0-9a-f]{64}$", var.wasm_sha256))
    error_message = "A SHA-256 is 64 hexadecimal digits in lower case."
  }
}

variable "configuration_file" {
  description = "A document that `sluice compile` wrote; null takes the one that was built into the artefact."
  type        = string
  default     = null

  validation {
    condition     = var.configuration_file == null || try(fileexists(var.configuration_file), false)
    error_message = "There is no such file: write it with `sluice compile sluice.toml --out FILE`."
  }
}

variable "secrets" {
  description = "Secrets by the names that the configuration gives them, such as OPENAI_API_KEY. They go into the state, marked sensitive: the provider has no write-only argument for them. Prefer `inherited_secrets`."
  type        = map(string)
  default     = {}
  sensitive   = true

  validation {
    condition     = alltrue([for name in keys(var.secrets) : can(regex("^[A-Z][A-Z0-9_]{0,127}$", name))])
    error_message = "A secret's name is capitals, digits and _, and begins with a letter."
  }

  validation {
    condition     = alltrue([for value in values(var.secrets) : length(value) > 0])
    error_message = "A secret is empty."
  }
}

variable "inherited_secrets" {
  description = "Names of secrets that the running worker has already, put there with `wrangler secret put`: each new version takes them over, and no state ever holds them."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.inherited_secrets : can(regex("^[A-Z][A-Z0-9_]{0,127}$", name))])
    error_message = "A secret's name is capitals, digits and _, and begins with a letter."
  }
}

variable "bucket_lock_days" {
  description = "For how many days objects can be neither changed nor deleted, by the bucket's binding. Whoever may edit the bucket may remove the lock."
  type        = map(number)
  default     = { RECORDS = 365 }

  validation {
    condition     = alltrue([for days in values(var.bucket_lock_days) : days >= 1 && days <= 36500 && floor(days) == days])
    error_message = "A lock lasts a whole number of days, 1 to 36500."
  }
}

variable "bucket_locations" {
  description = "Where buckets are best kept, by the bucket's binding: weur, eeur, wnam, enam, apac or oc. A hint; a jurisdiction is the promise, and goes without hints."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for location in values(var.bucket_locations) : contains(["weur", "eeur", "wnam", "enam", "apac", "oc"], location)])
    error_message = "A location is one of weur, eeur, wnam, enam, apac, oc."
  }
}

variable "rollout" {
  description = "How many percent of requests the version of `artefact_dir` serves; `previous_version_id` serves the rest. 0 is a rollback."
  type = object({
    percentage          = number
    previous_version_id = string
  })
  default = null

  validation {
    condition     = var.rollout == null || (try(var.rollout.percentage, 0) >= 0 && try(var.rollout.percentage, 0) <= 99)
    error_message = "A rollout's percentage is 0 to 99; leave rollout out for 100."
  }
}

variable "cpu_ms_max" {
  description = "The CPU time that one request may take, in milliseconds; beyond it the platform ends it."
  type        = number
  default     = 30000

  validation {
    condition     = var.cpu_ms_max >= 10 && var.cpu_ms_max <= 300000 && floor(var.cpu_ms_max) == var.cpu_ms_max
    error_message = "cpu_ms_max is 10 to 300000."
  }
}

variable "logpush" {
  description = "Where the worker's trace events are pushed. With a jurisdiction, `jurisdiction` must say that the destination is in it; null pushes nothing."
  type = object({
    destination_conf = string
    jurisdiction     = optional(string)
  })
  default   = null
  sensitive = true
}

variable "tags" {
  description = "Labels of the worker."
  type        = set(string)
  default     = ["sluice"]
}
