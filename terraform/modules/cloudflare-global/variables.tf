variable "account_id" {
  description = "The Cloudflare account that the gateway runs in."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{32}$", var.account_id))
    error_message = "An account id is 32 hexadecimal digits in lower case."
  }
}

variable "zone_id" {
  description = "The zone of all public names."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{32}$", var.zone_id))
    error_message = "A zone id is 32 hexadecimal digits in lower case."
  }
}

variable "tls_scope" {
  description = "For whom TLS 1.3 is the oldest allowed: `zone` for every name of the zone; `hostnames` for the gateway's alone, which needs Advanced Certificate Manager."
  type        = string
  default     = "zone"

  validation {
    condition     = contains(["zone", "hostnames"], var.tls_scope)
    error_message = "tls_scope is \"zone\" or \"hostnames\"."
  }
}

variable "hostnames" {
  description = "All public names of the gateway."
  type        = set(string)

  validation {
    condition     = length(var.hostnames) > 0
    error_message = "A gateway has a name."
  }
}

variable "front" {
  description = "One name for several regions: a small worker that passes each request on to the region that `X-Gateway-Region` asks for, or to `default_region`. It refuses requests for a pinned region, unless `forward_pinned` accepts that they enter wherever the caller is near; state and processing stay in the region in any case."
  type = object({
    name               = optional(string, "sluice-front")
    hostname           = string
    default_region     = string
    forward_pinned     = optional(bool, false)
    compatibility_date = optional(string, "2026-04-26")
    regions = map(object({
      hostname = string
      pinned   = bool
    }))
  })
  default = null

  validation {
    condition     = var.front == null || contains(keys(try(var.front.regions, {})), try(var.front.default_region, ""))
    error_message = "default_region is none of the regions."
  }

  validation {
    condition     = alltrue([for region in keys(try(var.front.regions, {})) : can(regex("^[a-z][a-z0-9_-]{0,30}$", region))])
    error_message = "A region's name is small letters, digits, - and _."
  }

  validation {
    condition     = !contains([for region in values(try(var.front.regions, {})) : region.hostname], try(coalesce(var.front.hostname), ""))
    error_message = "The one name must not be a region's own: it would pass requests on to itself."
  }
}
