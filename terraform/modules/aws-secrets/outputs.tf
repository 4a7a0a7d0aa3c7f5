output "arns" {
  description = "The secrets by the environment variables that they become, as a task definition's `secrets` wants them."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "reader_policy_arn" {
  description = "What the gateway's task execution role needs."
  value       = aws_iam_policy.reader.arn
}
