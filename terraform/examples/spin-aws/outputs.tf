output "spin_variables" {
  description = "The application's variables, as `spin up --variable NAME=VALUE` or SPIN_VARIABLE_NAME take them."
  value       = module.audit_bucket.spin_variables
}

output "spin_secrets" {
  description = "Where the secret ones are, by environment variable."
  value       = module.secrets.arns
}

output "policy_arns" {
  description = "Who may do what."
  value = {
    auditor        = module.audit_bucket.auditor_policy_arn
    secrets_reader = module.secrets.reader_policy_arn
    writer         = module.audit_bucket.writer_policy_arn
  }
}

output "writer_user_name" {
  description = "The IAM user that writes the records: `aws iam create-access-key --user-name …`."
  value       = module.audit_bucket.writer_user_name
}

output "keys_json" {
  description = "For `sluice key sync`."
  value       = module.governance.keys_json
}

output "sluice_toml" {
  description = "The configuration."
  value       = module.governance.sluice_toml
}
