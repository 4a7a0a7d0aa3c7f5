output "bucket_name" {
  description = "The bucket's name."
  value       = aws_s3_bucket.this.id
}

output "bucket_region" {
  description = "The bucket's region."
  value       = aws_s3_bucket.this.bucket_region
}

output "endpoint" {
  description = "Where the bucket is reached."
  value       = "https://${aws_s3_bucket.this.bucket_regional_domain_name}"
}

output "key_arn" {
  description = "The key that the records are encrypted with."
  value       = aws_kms_key.this.arn
}

output "writer_policy_arn" {
  description = "What the gateway may do: append."
  value       = aws_iam_policy.writer.arn
}

output "auditor_policy_arn" {
  description = "What an auditor may do: read."
  value       = aws_iam_policy.auditor.arn
}

output "writer_user_name" {
  description = "The gateway's IAM user, for `aws iam create-access-key`, or null."
  value       = one([for user in aws_iam_user.writer : user.name])
}

output "retention_days" {
  description = "For how many days a record cannot be changed or deleted."
  value       = var.retention_days
}

output "spin_variables" {
  description = "What the application's variables say of the bucket; the access key's two halves go in beside them, as secrets."
  value = {
    sluice_records_url       = "https://${aws_s3_bucket.this.bucket_regional_domain_name}"
    sluice_records_region    = aws_s3_bucket.this.bucket_region
    sluice_records_retention = "compliance ${var.retention_days}d"
  }
}
