output "worker_name" {
  description = "What the worker is called."
  value       = cloudflare_worker.this.name
}

output "version_id" {
  description = "The version of artefact_dir; give it as rollout.previous_version_id when the next one is rolled out."
  value       = cloudflare_worker_version.this.id
}

output "urls" {
  description = "The gateway's addresses."
  value       = [for hostname in sort(tolist(var.hostnames)) : "https://${hostname}"]

  # Who uses an address wants an answer there.
  depends_on = [cloudflare_workers_custom_domain.this]
}

output "jurisdiction" {
  description = "Where state must stay, or null."
  value       = var.jurisdiction
}

output "kv_namespace_ids" {
  description = "The KV namespaces' identifiers, by binding."
  value       = { for binding, namespace in cloudflare_workers_kv_namespace.this : binding => namespace.id }
}

output "bucket_names" {
  description = "The R2 buckets' names, by binding."
  value       = { for binding, bucket in cloudflare_r2_bucket.this : binding => bucket.name }
}

output "s3_endpoint" {
  description = "Where the buckets are read with S3's API, by auditors and backups."
  value       = "https://${var.account_id}.${local.pinned ? "${var.jurisdiction}." : ""}r2.cloudflarestorage.com"
}

output "secret_names" {
  description = "The secrets that the worker has."
  value       = sort(concat(nonsensitive(keys(var.secrets)), tolist(var.inherited_secrets)))
}

output "wrangler_toml" {
  description = "The tables of wrangler.toml that name what was made here, for `wrangler tail`, `wrangler secret put` and a look from outside."
  value = join("\n", concat(
    ["name = ${jsonencode(var.name)}", "account_id = ${jsonencode(var.account_id)}"],
    [for binding, namespace in cloudflare_workers_kv_namespace.this : "\n[[kv_namespaces]]\nbinding = ${jsonencode(binding)}\nid = ${jsonencode(namespace.id)}"],
    [for binding, bucket in cloudflare_r2_bucket.this : join("\n", concat(
      ["\n[[r2_buckets]]", "binding = ${jsonencode(binding)}", "bucket_name = ${jsonencode(bucket.name)}"],
      [for jurisdiction in [local.jurisdictions[binding]] : "jurisdiction = ${jsonencode(jurisdiction)}" if jurisdiction != null],
    ))],
    [""],
  ))
}

output "residency" {
  description = "Where each thing is, as it was made: a jurisdiction, `none` where there is no such thing, `worker` where the worker's code decides, `anywhere` where the platform does."
  value = merge(
    { for binding, bucket in cloudflare_r2_bucket.this : "bucket/${binding}" => bucket.jurisdiction },
    { for binding, lock in cloudflare_r2_bucket_lock.this : "bucket_lock/${binding}" => lock.jurisdiction },
    { for binding in cloudflare_worker_version.this.bindings : "bucket_binding/${binding.name}" => coalesce(binding.jurisdiction, "anywhere") if binding.type == "r2_bucket" },
    { for hostname, domain in cloudflare_workers_custom_domain.this : "hostname/${domain.hostname}" => try(cloudflare_regional_hostname.this[hostname].region_key, "anywhere") },
    { for hostname, regional in cloudflare_regional_hostname.this : "regional_hostname/${regional.hostname}" => regional.region_key },
    { for binding, namespace in cloudflare_workers_kv_namespace.this : "kv_namespace/${binding}" => "anywhere" },
    { for binding in cloudflare_worker_version.this.bindings : "durable_object/${binding.name}" => "worker" if binding.type == "durable_object_namespace" },
    { for queue, it in cloudflare_queue.this : "queue/${queue}" => "anywhere" },
    { for queue, consumer in cloudflare_queue_consumer.this : "queue_consumer/${queue}" => "anywhere" },
    { for trigger in cloudflare_workers_cron_trigger.this : "schedules" => "anywhere" },
    { for dataset, job in cloudflare_logpush_job.this : "logpush/${dataset}" => nonsensitive(coalesce(var.logpush.jurisdiction, "anywhere")) },
    {
      logs          = cloudflare_worker.this.observability.enabled ? "anywhere" : "none"
      preview_names = cloudflare_worker.this.subdomain.enabled || cloudflare_worker.this.subdomain.previews_enabled ? "anywhere" : "none"
      placement     = cloudflare_worker_version.this.placement == null ? "none" : "anywhere"
    },
  )
}
