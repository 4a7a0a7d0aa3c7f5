variable "account_id" {
  description = "The Cloudflare account."
  type        = string
}

variable "zone_id" {
  description = "The zone of `hostname`."
  type        = string
}

variable "hostname" {
  description = "The gateway's name, such as llm.example.com."
  type        = string
}

variable "openai_api_key" {
  description = "The provider's key."
  type        = string
  sensitive   = true
}

variable "artefact_dir" {
  description = "The built worker."
  type        = string
  default     = "../../../build"
}

variable "sluice_command" {
  description = "The `sluice` command, which checks the configuration and puts it in force; null leaves both to you."
  type        = string
  default     = "sluice"
}
