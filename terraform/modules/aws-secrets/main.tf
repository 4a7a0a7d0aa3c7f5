# Secrets of a gateway beside AWS, which become environment variables of its tasks and are in no state.

resource "aws_secretsmanager_secret" "this" {
  for_each = var.versions

  name                    = "${var.prefix}${each.key}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_window_days
  tags                    = merge({ application = "sluice" }, var.tags)
}

resource "aws_secretsmanager_secret_version" "this" {
  for_each = aws_secretsmanager_secret.this

  secret_id                = each.value.id
  secret_string_wo         = var.values[each.key]
  secret_string_wo_version = var.versions[each.key]
}

resource "aws_iam_policy" "reader" {
  name        = "${trimsuffix(var.prefix, "/")}-secrets-reader"
  description = "Reads the gateway's secrets when a task starts."
  tags        = merge({ application = "sluice" }, var.tags)

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "Read"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = [for name in sort(keys(var.versions)) : aws_secretsmanager_secret.this[name].arn]
      }],
      var.kms_key_arn == null ? [] : [{
        Sid      = "Decrypt"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = [var.kms_key_arn]
      }],
    )
  })
}
