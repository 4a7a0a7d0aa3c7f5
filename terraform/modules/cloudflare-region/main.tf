# One region of the gateway: a worker with its state, its public names and its schedules.
#
# What the worker needs is written in worker.json, which comes with the code: namespaces, buckets, classes, queues,
# schedules. A newer release brings its own, and a rollback goes back to the old.

locals {
  worker = jsondecode(file("${var.artefact_dir}/worker.json"))
  pinned = var.jurisdiction != null

  # Names are told apart from the worker's own: sluice-records belongs to sluice, sluice-eu-records to sluice-eu.
  bucket_names = { for binding in keys(local.worker.r2_buckets) : binding => "${var.name}-${replace(lower(binding), "_", "-")}" }
  # A bucket may be in a jurisdiction of its own; in a pinned region all are in the region's.
  jurisdictions = { for binding, bucket in local.worker.r2_buckets : binding => try(coalesce(var.jurisdiction, bucket.jurisdiction), null) }
  queues        = toset(concat(values(local.worker.queue_producers), keys(local.worker.queue_consumers)))
  queue_names   = { for queue in local.queues : queue => "${var.name}-${trimprefix(queue, "${local.worker.name}-")}" }

  content_types = {
    js   = "application/javascript+module"
    wasm = "application/wasm"
  }
  module_names = fileset(var.artefact_dir, "*.{js,wasm}")
  modules = [
    for name in local.module_names : {
      name         = name
      content_type = local.content_types[regex("[a-z]+$", name)]
      content_file = name == "config.js" && var.configuration_file != null ? null : "${var.artefact_dir}/${name}"
      # The module is a document in a string, as `cargo xtask build` writes it.
      content_base64 = name == "config.js" && var.configuration_file != null ? base64encode("export default ${jsonencode(file(var.configuration_file))};\n") : null
    }
  ]

  bindings = concat(
    [for name, class in local.worker.durable_objects : { name = name, type = "durable_object_namespace", class_name = class }],
    [for name in local.worker.kv_namespaces : { name = name, type = "kv_namespace", namespace_id = cloudflare_workers_kv_namespace.this[name].id }],
    [for name in keys(local.worker.r2_buckets) : { name = name, type = "r2_bucket", bucket_name = cloudflare_r2_bucket.this[name].name, jurisdiction = local.jurisdictions[name] }],
    [for name, queue in local.worker.queue_producers : { name = name, type = "queue", queue_name = cloudflare_queue.this[queue].queue_name }],
    [for name, value in local.worker.vars : { name = name, type = "plain_text", text = value }],
    local.worker.assets == null ? [] : [for name in [try(local.worker.assets.binding, null)] : { name = name, type = "assets" } if name != null],
    [for name in sort(nonsensitive(keys(var.secrets))) : { name = name, type = "secret_text", text = var.secrets[name] }],
    [for name in sort(tolist(var.inherited_secrets)) : { name = name, type = "inherit" }],
  )
  # The platform answers in the order of the names; so does the plan.
  binding_names   = sort([for binding in local.bindings : binding.name])
  sorted_bindings = [for name in distinct(local.binding_names) : merge(local.no_binding, [for binding in local.bindings : binding if binding.name == name][0])]
  no_binding = {
    bucket_name  = null
    class_name   = null
    jurisdiction = null
    namespace_id = null
    queue_name   = null
    text         = null
  }
}

resource "cloudflare_workers_kv_namespace" "this" {
  for_each = toset(local.worker.kv_namespaces)

  account_id = var.account_id
  title      = "${var.name}-${lower(each.key)}"
}

# The platform itself refuses to delete a bucket that is not empty, and an object that is locked.
resource "cloudflare_r2_bucket" "this" {
  for_each = local.bucket_names

  account_id    = var.account_id
  name          = each.value
  jurisdiction  = coalesce(local.jurisdictions[each.key], "default")
  location      = local.jurisdictions[each.key] != null ? null : lookup(var.bucket_locations, each.key, null)
  storage_class = "Standard"
}

resource "cloudflare_r2_bucket_lock" "this" {
  for_each = { for binding, days in var.bucket_lock_days : binding => days if contains(keys(local.worker.r2_buckets), binding) }

  account_id   = var.account_id
  bucket_name  = cloudflare_r2_bucket.this[each.key].name
  jurisdiction = coalesce(local.jurisdictions[each.key], "default")

  rules = [{
    id      = "retain"
    enabled = true
    # All objects.
    prefix = ""
    condition = {
      type            = "Age"
      max_age_seconds = each.value * 86400
    }
  }]
}

resource "cloudflare_queue" "this" {
  for_each = local.queue_names

  account_id = var.account_id
  queue_name = each.value

  lifecycle {
    precondition {
      condition     = !local.pinned
      error_message = "Queues have no jurisdiction: a worker that uses ${each.key} cannot be pinned."
    }
  }
}

resource "cloudflare_queue_consumer" "this" {
  for_each = local.worker.queue_consumers

  account_id        = var.account_id
  queue_id          = cloudflare_queue.this[each.key].queue_id
  type              = "worker"
  script_name       = cloudflare_worker.this.name
  dead_letter_queue = try(local.queue_names[each.value.dead_letter_queue], null)

  settings = {
    batch_size       = try(each.value.batch_size, null)
    max_concurrency  = try(each.value.max_concurrency, null)
    max_retries      = try(each.value.max_retries, null)
    max_wait_time_ms = try(each.value.max_wait_time_s * 1000, null)
    retry_delay      = try(each.value.retry_delay, null)
  }

  depends_on = [cloudflare_workers_deployment.this]
}

resource "cloudflare_worker" "this" {
  account_id = var.account_id
  name       = var.name
  logpush    = nonsensitive(var.logpush != null)
  tags       = var.tags

  # Cloudflare keeps a worker's logs where it likes; from a pinned one it gets none.
  observability = {
    enabled = local.worker.observability && !local.pinned
  }

  # A name under workers.dev goes round the regional names and their TLS settings.
  subdomain = {
    enabled          = false
    previews_enabled = false
  }
}

resource "cloudflare_worker_version" "this" {
  account_id          = var.account_id
  worker_id           = cloudflare_worker.this.id
  main_module         = local.worker.main_module
  compatibility_date  = local.worker.compatibility_date
  compatibility_flags = local.worker.compatibility_flags
  modules             = local.modules
  bindings            = local.sorted_bindings

  # Placement is not given: it would move requests to where the platform thinks best.

  # Declared rather than migrated: the platform compares them with what there is, so applying twice is harmless.
  exports = {
    for name, class in local.worker.classes : name => {
      type       = "durable-object"
      state      = class.state
      storage    = try(class.storage, null)
      renamed_to = try(class.renamed_to, null)
    }
  }

  assets = local.worker.assets == null ? null : {
    directory = "${var.artefact_dir}/${basename(local.worker.assets.directory)}"
    config = {
      html_handling      = try(local.worker.assets.html_handling, null)
      not_found_handling = try(local.worker.assets.not_found_handling, null)
      run_worker_first   = try(local.worker.assets.run_worker_first, null)
    }
  }

  limits = {
    cpu_ms = var.cpu_ms_max
  }

  lifecycle {
    # The version before stays until the new one serves.
    create_before_destroy = true

    precondition {
      condition     = contains(local.module_names, local.worker.main_module)
      error_message = "artefact_dir lacks the worker's main module: the build or the download is not complete."
    }
    precondition {
      condition     = length(local.binding_names) == length(distinct(local.binding_names))
      error_message = "Two bindings have one name: a secret must not be called like a binding of the worker, nor be both given and inherited."
    }
    precondition {
      condition     = var.wasm_sha256 == null || try(filesha256("${var.artefact_dir}/index_bg.wasm"), null) == var.wasm_sha256
      error_message = "index_bg.wasm is not the one that wasm_sha256 names."
    }
  }
}

resource "cloudflare_workers_deployment" "this" {
  account_id  = var.account_id
  script_name = cloudflare_worker.this.name
  strategy    = "percentage"

  versions = [
    for version in [
      { version_id = cloudflare_worker_version.this.id, percentage = var.rollout == null ? 100 : var.rollout.percentage },
      { version_id = try(var.rollout.previous_version_id, ""), percentage = var.rollout == null ? 0 : 100 - var.rollout.percentage },
    ] : version if version.percentage > 0
  ]
}

resource "cloudflare_workers_cron_trigger" "this" {
  # One resource holds all schedules of a worker.
  for_each = length(local.worker.crons) == 0 ? [] : toset(["schedules"])

  account_id  = var.account_id
  script_name = cloudflare_worker.this.name
  schedules   = [for cron in local.worker.crons : { cron = cron }]

  depends_on = [cloudflare_workers_deployment.this]

  lifecycle {
    precondition {
      condition     = !local.pinned
      error_message = "Schedules run wherever the platform likes: a worker that has them cannot be pinned."
    }
  }
}

resource "cloudflare_regional_hostname" "this" {
  for_each = local.pinned ? var.hostnames : []

  zone_id    = var.zone_id
  hostname   = each.key
  region_key = var.jurisdiction
}

resource "cloudflare_workers_custom_domain" "this" {
  for_each = var.hostnames

  account_id = var.account_id
  zone_id    = var.zone_id
  hostname   = each.key
  service    = cloudflare_worker.this.name

  # A name is held to its region before it leads anywhere.
  depends_on = [cloudflare_workers_deployment.this, cloudflare_regional_hostname.this]
}

resource "cloudflare_logpush_job" "this" {
  for_each = nonsensitive(var.logpush != null) ? toset(["workers_trace_events"]) : []

  account_id       = var.account_id
  name             = "${var.name}-trace-events"
  dataset          = each.key
  destination_conf = var.logpush.destination_conf
  enabled          = true
  filter           = jsonencode({ where = { key = "ScriptName", operator = "eq", value = var.name } })

  output_options = {
    field_names      = ["EventTimestampMs", "EventType", "Exceptions", "Logs", "Outcome", "ScriptName", "ScriptVersion"]
    output_type      = "ndjson"
    timestamp_format = "rfc3339"
  }

  lifecycle {
    precondition {
      condition     = !local.pinned || nonsensitive(try(var.logpush.jurisdiction, null)) == var.jurisdiction
      error_message = "A pinned worker's logs go only to a destination that is declared to be in its jurisdiction: set logpush.jurisdiction."
    }
  }
}
