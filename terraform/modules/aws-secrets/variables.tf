variable "prefix" {
  description = "What stands before the secrets' names."
  type        = string
  default     = "sluice/"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+/$", var.prefix))
    error_message = "A prefix is letters, digits, - and _, and ends with a slash."
  }
}

variable "versions" {
  description = "The secrets' names, and which version of each is wanted: raise it to write `values` anew."
  type        = map(number)

  validation {
    condition     = alltrue([for name in keys(var.versions) : can(regex("^[A-Z][A-Z0-9_]{0,127}$", name))])
    error_message = "A secret is called like the environment variable that it becomes: capitals, digits and _."
  }
}

variable "values" {
  description = "The secrets by name. They are written and forgotten: neither plan nor state holds them. May be empty when no version is raised."
  type        = map(string)
  sensitive   = true
  ephemeral   = true
}

variable "kms_key_arn" {
  description = "The key that they are encrypted with; null takes the account's."
  type        = string
  default     = null
}

variable "recovery_window_days" {
  description = "How long a deleted secret can be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.recovery_window_days >= 7 && var.recovery_window_days <= 30
    error_message = "AWS keeps a deleted secret for 7 to 30 days."
  }
}

variable "tags" {
  description = "Labels of everything here."
  type        = map(string)
  default     = {}
}
