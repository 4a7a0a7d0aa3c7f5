variable "region" {
  description = "The AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "bucket_name" {
  description = "The audit bucket's name, unique in the world."
  type        = string
}

variable "retention_days" {
  description = "For how many days nobody can change or delete a record."
  type        = number
  default     = 2555
}

variable "redis_url" {
  description = "The Redis or Valkey that holds the counters: rediss:// with a password, or redis:// inside a private network."
  type        = string
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = can(regex("^rediss?://[^\\s]+$", var.redis_url))
    error_message = "redis_url begins with redis:// or rediss://."
  }
}

variable "redis_url_version" {
  description = "Raise it when redis_url has changed."
  type        = number
  default     = 1
}

variable "openai_api_key" {
  description = "The provider's key."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "sluice_command" {
  description = "The `sluice` command, which checks the configuration; null leaves that to you."
  type        = string
  default     = "sluice"
}
