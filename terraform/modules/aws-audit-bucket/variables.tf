variable "bucket_name" {
  description = "The bucket's name, unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "A bucket's name is 3 to 63 small letters, digits and dashes; dots would break TLS."
  }
}

variable "region" {
  description = "The AWS region of the bucket and of its key; null takes the provider's."
  type        = string
  default     = null

  validation {
    condition     = var.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "An AWS region looks like eu-central-1."
  }
}

variable "retention_days" {
  description = "For how many days no one, the account's root included, can change or delete a record. It can be lengthened later, never shortened for what is there."
  type        = number
  default     = 2555

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 36500 && floor(var.retention_days) == var.retention_days
    error_message = "A retention lasts a whole number of days, 1 to 36500."
  }
}

variable "prefixes" {
  description = "Where in the bucket the gateway writes."
  type        = set(string)
  default     = ["audit/", "usage/"]

  validation {
    condition     = length(var.prefixes) > 0 && alltrue([for prefix in var.prefixes : can(regex("^[a-z0-9-]+/$", prefix))])
    error_message = "A prefix is small letters, digits and dashes, and ends with a slash."
  }
}

variable "writer_user" {
  description = "Whether to make an IAM user for the gateway. Its access key is made outside Terraform; without a user, attach `writer_policy_arn` to what you have."
  type        = bool
  default     = true
  nullable    = false
}

variable "key_deletion_window_days" {
  description = "How long the key can be brought back after it was scheduled for deletion. Without it, no record can be read."
  type        = number
  default     = 30

  validation {
    condition     = var.key_deletion_window_days >= 7 && var.key_deletion_window_days <= 30
    error_message = "AWS waits 7 to 30 days."
  }
}

variable "tags" {
  description = "Labels of everything here."
  type        = map(string)
  default     = {}
}
