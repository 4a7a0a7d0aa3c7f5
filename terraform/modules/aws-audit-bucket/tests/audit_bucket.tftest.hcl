# The bucket cannot be bent. tests/terraform loosens each screw in turn, and this must notice.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/1" }
  }
}

variables {
  bucket_name    = "sluice-audit-example"
  region         = "eu-central-1"
  retention_days = 365
}

run "records_cannot_be_changed_or_deleted" {
  assert {
    condition     = aws_s3_bucket.this.object_lock_enabled && !aws_s3_bucket.this.force_destroy && aws_s3_bucket.this.region == "eu-central-1"
    error_message = "The bucket can be emptied, or is elsewhere."
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "Without versions there is no lock."
  }

  assert {
    condition     = aws_s3_bucket_object_lock_configuration.this.rule[0].default_retention[0].mode == "COMPLIANCE" && aws_s3_bucket_object_lock_configuration.this.rule[0].default_retention[0].days == 365
    error_message = "The lock can be gone round, or is too short."
  }

  assert {
    condition     = one([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Condition.NumericLessThan["s3:object-lock-remaining-retention-days"] if statement.Sid == "NoShorterRetention" && statement.Effect == "Deny"]) == "364"
    error_message = "A writer may ask for a shorter retention."
  }
}

run "records_are_read_by_nobody_else" {
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "The bucket can be made public."
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "Objects can be given away by access lists."
  }

  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_server_side_encryption_configuration.this.rule :
      alltrue([for by_default in rule.apply_server_side_encryption_by_default : by_default.sse_algorithm == "aws:kms" && by_default.kms_master_key_id == aws_kms_key.this.arn])
    ])
    error_message = "Records are encrypted with another key."
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.region == "eu-central-1"
    error_message = "The key stays the same for ever, or is elsewhere."
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[*].Principal == [{ AWS = "arn:aws:iam::123456789012:root" }]
    error_message = "Another account may use the key."
  }

  assert {
    condition     = one([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Condition.StringNotEqualsIfExists["s3:x-amz-server-side-encryption-aws-kms-key-id"] if statement.Sid == "OwnKeyOnly" && statement.Effect == "Deny"]) == aws_kms_key.this.arn
    error_message = "A writer may use another key."
  }
}

run "nothing_goes_unencrypted" {
  assert {
    condition     = one([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Condition.Bool["aws:SecureTransport"] if statement.Sid == "TlsOnly" && statement.Effect == "Deny" && statement.Action == "s3:*"]) == "false"
    error_message = "The bucket can be reached without TLS."
  }

  assert {
    condition     = one([for statement in jsondecode(aws_s3_bucket_policy.this.policy).Statement : statement.Condition.NumericLessThan["s3:TlsVersion"] if statement.Sid == "Tls13Only" && statement.Effect == "Deny" && statement.Action == "s3:*"]) == "1.3"
    error_message = "The bucket can be reached with an older TLS."
  }
}

run "the_gateway_may_append_and_nothing_else" {
  assert {
    condition     = sort(flatten([for statement in jsondecode(aws_iam_policy.writer.policy).Statement : statement.Action])) == tolist(["kms:GenerateDataKey", "s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:PutObjectRetention"])
    error_message = "The writer may do more than write, and see that it has written; or less."
  }

  assert {
    condition     = [for statement in jsondecode(aws_iam_policy.writer.policy).Statement : statement.Resource if statement.Sid == "Append"] == [["arn:aws:s3:::sluice-audit-example/audit/*", "arn:aws:s3:::sluice-audit-example/usage/*"]]
    error_message = "The writer may write anywhere."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_policy.auditor.policy).Statement : alltrue([for action in statement.Action : can(regex("^(s3:(Get|List)|kms:Decrypt)", action))])])
    error_message = "The auditor may do more than read."
  }
}

run "a_user_is_made_only_where_it_is_wanted" {
  variables {
    writer_user = false
  }

  assert {
    condition     = output.writer_user_name == null && length(aws_iam_user_policy_attachment.writer) == 0
    error_message = "There is a user that nobody asked for."
  }
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    bucket_name              = "Not.A.Bucket"
    region                   = "europe"
    retention_days           = 0
    prefixes                 = ["/"]
    key_deletion_window_days = 1
  }

  expect_failures = [var.bucket_name, var.region, var.retention_days, var.prefixes, var.key_deletion_window_days]
}
