# The audit store beside Spin: a bucket in which nobody can change or delete a record before its time.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  tags       = merge({ application = "sluice" }, var.tags)
  root_arn   = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket_name}"
  write_arns = [for prefix in sort(tolist(var.prefixes)) : "${local.bucket_arn}/${prefix}*"]
}

resource "aws_kms_key" "this" {
  description             = "Sluice: audit records in ${var.bucket_name}"
  enable_key_rotation     = true
  deletion_window_in_days = var.key_deletion_window_days
  region                  = var.region
  tags                    = local.tags

  # The account decides by IAM who may use it; nobody outside it can.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Account"
      Effect    = "Allow"
      Principal = { AWS = local.root_arn }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.bucket_name}"
  target_key_id = aws_kms_key.this.key_id
  region        = var.region
}

resource "aws_s3_bucket" "this" {
  bucket = var.bucket_name
  region = var.region
  tags   = local.tags

  # Can only be said when a bucket is made.
  object_lock_enabled = true
  force_destroy       = false
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  region = var.region

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  region = var.region

  rule {
    default_retention {
      # Governance mode could be bypassed by whoever has the permission.
      mode = "COMPLIANCE"
      days = var.retention_days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  region = var.region

  rule {
    # One call to KMS for many objects.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  region                  = var.region
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id
  region = var.region

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  region = var.region

  rule {
    id     = "abandoned-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  region = var.region

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "Tls13Only"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.3" } }
      },
      {
        Sid       = "OwnKeyOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = "${local.bucket_arn}/*"
        Condition = { StringNotEqualsIfExists = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = aws_kms_key.this.arn } }
      },
      {
        Sid       = "NoShorterRetention"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObjectRetention"
        Resource  = "${local.bucket_arn}/*"
        # A day less: the days that remain are counted when the record arrives, a moment after it was dated.
        Condition = { NumericLessThan = { "s3:object-lock-remaining-retention-days" = tostring(var.retention_days - 1) } }
      },
    ]
  })

  # The policy must not be taken for a public one before the bucket is closed.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_iam_policy" "writer" {
  name        = "${var.bucket_name}-writer"
  description = "Appends records to ${var.bucket_name}, and sees that they are there: no reading, no deleting."
  tags        = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Append"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:PutObjectRetention"]
        Resource = local.write_arns
      },
      {
        # Heads only: without the right to decrypt, a content is refused.
        Sid      = "See"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = local.write_arns
      },
      {
        Sid      = "Probe"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = local.bucket_arn
      },
      {
        Sid      = "Encrypt"
        Effect   = "Allow"
        Action   = ["kms:GenerateDataKey"]
        Resource = aws_kms_key.this.arn
      },
    ]
  })
}

resource "aws_iam_policy" "auditor" {
  name        = "${var.bucket_name}-auditor"
  description = "Reads records of ${var.bucket_name} and their retention."
  tags        = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "List"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketObjectLockConfiguration"]
        Resource = local.bucket_arn
      },
      {
        Sid      = "Read"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention"]
        Resource = "${local.bucket_arn}/*"
      },
      {
        Sid      = "Decrypt"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = aws_kms_key.this.arn
      },
    ]
  })
}

# Its access key is made outside, so that no state ever holds the secret half: `aws iam create-access-key`.
resource "aws_iam_user" "writer" {
  for_each = var.writer_user ? toset(["writer"]) : toset([])

  name = "${var.bucket_name}-${each.key}"
  path = "/sluice/"
  tags = local.tags
}

resource "aws_iam_user_policy_attachment" "writer" {
  for_each = aws_iam_user.writer

  user       = each.value.name
  policy_arn = aws_iam_policy.writer.arn
}
