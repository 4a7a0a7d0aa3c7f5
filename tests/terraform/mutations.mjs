// Each thing that could leave the EU, or loosen the audit bucket, put wrong in one place: the tests must notice.

const REGION = "modules/cloudflare-region/main.tf";
const GLOBAL = "modules/cloudflare-global/main.tf";
const PINNED = "examples/eu-pinned/main.tf";
const BUCKET = "modules/aws-audit-bucket/main.tf";

/** Resources of the region that are nowhere themselves: they only say which version of the worker serves. */
export const PLACELESS = ["cloudflare_workers_deployment"];

/** `{resource, wrong, file, from, to}`: what is put wrong, and how. */
export const OUT_OF_THE_EU = [
  {
    resource: "cloudflare_r2_bucket",
    wrong: "the bucket is anywhere",
    file: REGION,
    from: `  jurisdiction  = coalesce(local.jurisdictions[each.key], "default")`,
    to: `  jurisdiction  = "default"`,
  },
  {
    resource: "cloudflare_r2_bucket",
    wrong: "nobody says where the bucket is",
    file: REGION,
    from: `  jurisdiction  = coalesce(local.jurisdictions[each.key], "default")\n`,
    to: ``,
  },
  {
    resource: "cloudflare_r2_bucket_lock",
    wrong: "the lock is on a bucket anywhere",
    file: REGION,
    from: `  jurisdiction = coalesce(local.jurisdictions[each.key], "default")\n\n  rules`,
    to: `  jurisdiction = "default"\n\n  rules`,
  },
  {
    resource: "cloudflare_r2_bucket_lock",
    wrong: "there is no lock",
    file: PINNED,
    from: `bucket_lock_days = { RECORDS = 2555 }`,
    to: `bucket_lock_days = {}`,
  },
  {
    resource: "cloudflare_worker_version",
    wrong: "the worker writes to a bucket anywhere",
    file: REGION,
    from: `jurisdiction = local.jurisdictions[name] }`,
    to: `jurisdiction = null }`,
  },
  {
    resource: "cloudflare_worker_version",
    wrong: "the platform moves the worker to where it likes",
    file: REGION,
    from: `  bindings            = local.sorted_bindings\n`,
    to: `  bindings            = local.sorted_bindings\n  placement           = { mode = "smart" }\n`,
  },
  {
    resource: "cloudflare_worker",
    wrong: "the worker's logs are kept",
    file: REGION,
    from: `enabled = local.worker.observability && !local.pinned`,
    to: `enabled = local.worker.observability`,
  },
  {
    resource: "cloudflare_worker",
    wrong: "the worker has a name outside the zone",
    file: REGION,
    from: `    enabled          = false\n`,
    to: `    enabled          = true\n`,
  },
  {
    resource: "cloudflare_worker",
    wrong: "each version has a name outside the zone",
    file: REGION,
    from: `    previews_enabled = false\n`,
    to: `    previews_enabled = true\n`,
  },
  {
    resource: "cloudflare_regional_hostname",
    wrong: "the name is held to another region",
    file: REGION,
    from: `region_key = var.jurisdiction`,
    to: `region_key = "us"`,
  },
  {
    resource: "cloudflare_regional_hostname",
    wrong: "the name is held to no region",
    file: REGION,
    from: `for_each = local.pinned ? var.hostnames : []`,
    to: `for_each = toset([])`,
  },
  {
    resource: "cloudflare_workers_custom_domain",
    wrong: "the worker answers to a name that is held to no region",
    file: REGION,
    from: `  hostname   = each.key\n  service `,
    to: `  hostname   = "anywhere.\${each.key}"\n  service `,
  },
  {
    resource: "cloudflare_workers_custom_domain",
    wrong: "a worker that runs anywhere stands before the gateway",
    file: PINNED,
    from: `hostname         = var.hostname`,
    to: `hostname         = "eu.\${var.hostname}"`,
  },
  {
    resource: "cloudflare_workers_kv_namespace",
    wrong: "a namespace that is copied everywhere holds more than keys",
    artefact: (worker) => worker.kv_namespaces.push("CACHE"),
  },
  {
    resource: "cloudflare_queue",
    wrong: "the worker puts content into a queue",
    artefact: (worker) => (worker.queue_producers.BATCHES = "sluice-batches"),
  },
  {
    resource: "cloudflare_queue",
    wrong: "the worker puts content into a queue, and no precondition minds",
    artefact: (worker) => (worker.queue_producers.BATCHES = "sluice-batches"),
    file: REGION,
    from: `      condition     = !local.pinned\n      error_message = "Queues`,
    to: `      condition     = !local.pinned || var.name != ""\n      error_message = "Queues`,
  },
  {
    resource: "cloudflare_queue_consumer",
    wrong: "the worker reads from a queue, and no precondition minds",
    artefact: (worker) => (worker.queue_consumers["sluice-batches"] = {}),
    file: REGION,
    from: `      condition     = !local.pinned\n      error_message = "Queues`,
    to: `      condition     = !local.pinned || var.name != ""\n      error_message = "Queues`,
  },
  {
    resource: "cloudflare_workers_cron_trigger",
    wrong: "the worker runs by schedule, wherever that is",
    artefact: (worker) => worker.crons.push("* * * * *"),
  },
  {
    resource: "cloudflare_workers_cron_trigger",
    wrong: "the worker runs by schedule, and no precondition minds",
    artefact: (worker) => worker.crons.push("* * * * *"),
    file: REGION,
    from: `      condition     = !local.pinned\n      error_message = "Schedules`,
    to: `      condition     = !local.pinned || var.name != ""\n      error_message = "Schedules`,
  },
  {
    resource: "cloudflare_logpush_job",
    wrong: "logs are pushed to where nobody says",
    file: PINNED,
    from: `  sluice_command = var.sluice_command\n}\n\nmodule "governance"`,
    to: `  sluice_command = var.sluice_command\n  logpush = { eu = { destination_conf = "https://logs.example.com" } }\n}\n\nmodule "governance"`,
  },
  {
    resource: "cloudflare_logpush_job",
    wrong: "logs are pushed to another jurisdiction",
    file: PINNED,
    from: `  sluice_command = var.sluice_command\n}\n\nmodule "governance"`,
    to: `  sluice_command = var.sluice_command\n  logpush = { eu = { destination_conf = "https://logs.example.com", jurisdiction = "us" } }\n}\n\nmodule "governance"`,
  },
  {
    resource: "cloudflare_zone_setting",
    wrong: "an older TLS is taken",
    file: GLOBAL,
    from: `    min_tls_version  = "1.3"`,
    to: `    min_tls_version  = "1.2"`,
  },
];

/** The same of the audit bucket on AWS. */
export const LOOSE_BUCKET = [
  ["governance mode", `mode = "COMPLIANCE"`, `mode = "GOVERNANCE"`],
  ["a shorter retention", `days = var.retention_days`, `days = 1`],
  ["no versions", `status = "Enabled"\n  }\n}\n\nresource "aws_s3_bucket_object_lock`, `status = "Suspended"\n  }\n}\n\nresource "aws_s3_bucket_object_lock`],
  ["no lock", `object_lock_enabled = true`, `object_lock_enabled = false`],
  ["emptied when destroyed", `force_destroy       = false`, `force_destroy       = true`],
  ["another place", `  bucket = var.bucket_name\n  region = var.region\n`, `  bucket = var.bucket_name\n`],
  ["public access lists", `block_public_acls       = true`, `block_public_acls       = false`],
  ["public policies", `block_public_policy     = true`, `block_public_policy     = false`],
  ["access lists that count", `ignore_public_acls      = true`, `ignore_public_acls      = false`],
  ["a public bucket", `restrict_public_buckets = true`, `restrict_public_buckets = false`],
  ["objects of others", `"BucketOwnerEnforced"`, `"ObjectWriter"`],
  ["another encryption", `sse_algorithm     = "aws:kms"`, `sse_algorithm     = "AES256"`],
  ["a key for ever", `enable_key_rotation     = true`, `enable_key_rotation     = false`],
  ["a key for all", `Principal = { AWS = local.root_arn }`, `Principal = { AWS = "*" }`],
  ["plain text", `"aws:SecureTransport" = "false"`, `"aws:SecureTransport" = "true"`],
  ["an older TLS", `"s3:TlsVersion" = "1.3"`, `"s3:TlsVersion" = "1.2"`],
  ["any key", `Sid       = "OwnKeyOnly"\n        Effect    = "Deny"`, `Sid       = "OwnKeyOnly"\n        Effect    = "Allow"`],
  ["any retention", `Sid       = "NoShorterRetention"\n        Effect    = "Deny"`, `Sid       = "NoShorterRetention"\n        Effect    = "Allow"`],
  ["a writer who deletes", `["s3:PutObject", "s3:PutObjectRetention"]`, `["s3:PutObject", "s3:PutObjectRetention", "s3:DeleteObject"]`],
  ["a writer who decrypts", `["kms:GenerateDataKey"]`, `["kms:GenerateDataKey", "kms:Decrypt"]`],
  ["a writer everywhere", `Action   = ["s3:PutObject", "s3:PutObjectRetention"]\n        Resource = local.write_arns`, `Action   = ["s3:PutObject", "s3:PutObjectRetention"]\n        Resource = "*"`],
  ["an auditor who deletes", `"s3:GetObjectVersion", "s3:GetObjectRetention"`, `"s3:GetObjectVersion", "s3:DeleteObject"`],
].map(([wrong, from, to]) => ({ wrong, file: BUCKET, from, to }));
