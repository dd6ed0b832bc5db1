# The three services. None has an instance while nobody uploads; only inference has a GPU.

locals {
  gpu_instances = min(var.gpu_max_instances, var.max_instances)

  services = {
    preprocess = {
      cpu              = 1, memory = var.preprocess_memory, has_gpu = false
      requests_at_once = 4, least_instances = 0, most_instances = var.max_instances
      variables        = { SHARD_UNITS = tostring(var.shard_units) }
    }
    inference = {
      cpu              = var.gpu_cpu, memory = var.gpu_memory, has_gpu = var.gpu_type != "none"
      requests_at_once = var.gpu_concurrency, least_instances = var.min_instances, most_instances = local.gpu_instances
      variables        = { DEVICE = var.gpu_type == "none" ? "cpu" : "cuda", AT_ONCE = tostring(var.gpu_concurrency) }
    }
    postprocess = {
      cpu              = 1, memory = var.postprocess_memory, has_gpu = false
      requests_at_once = 4, least_instances = 0, most_instances = var.max_instances
      variables        = {}
    }
  }

  # Cloud Run makes the address of name, project number and region; it is also what a token is for.
  service_urls = { for name in keys(local.services) : name => "https://${local.stem}-${name}-${data.google_project.this.number}.${var.region}.run.app" }
}

resource "google_cloud_run_v2_service" "lane" {
  for_each = local.services

  name                = "${local.stem}-${each.key}"
  location            = var.region
  deletion_protection = false # it holds no data and is created again in a minute
  labels              = local.labels
  ingress = {
    "internal"                          = "INGRESS_TRAFFIC_INTERNAL_ONLY"
    "internal-and-cloud-load-balancing" = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    "all"                               = "INGRESS_TRAFFIC_ALL"
  }[var.ingress]

  scaling { # as the service answers it; without it, every plan would remove it
    min_instance_count = 0
    scaling_mode       = "AUTOMATIC"
  }

  template {
    labels                           = local.labels # of instances, as `gcloud run deploy --labels` sets them, too
    service_account                  = local.emails[each.key]
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "${var.timeout_seconds}s"
    max_instance_request_concurrency = each.value.requests_at_once
    gpu_zonal_redundancy_disabled    = each.value.has_gpu ? !var.gpu_zonal_redundancy : null

    scaling {
      min_instance_count = each.value.least_instances
      max_instance_count = each.value.most_instances
    }

    dynamic "node_selector" {
      for_each = each.value.has_gpu ? [var.gpu_type] : []
      content {
        accelerator = node_selector.value
      }
    }

    dynamic "vpc_access" {
      for_each = var.network != "" ? [var.network] : []
      content {
        egress = "ALL_TRAFFIC" # the subnetwork needs Private Google Access
        network_interfaces {
          network    = vpc_access.value
          subnetwork = var.subnetwork
        }
      }
    }

    containers {
      image = local.has_digests ? data.google_artifact_registry_docker_image.images[each.key].self_link : "${local.image_path}/${each.key}:${var.image_tag}"

      resources {
        limits = merge(
          { cpu = tostring(each.value.cpu), memory = each.value.memory },
          each.value.has_gpu ? { "nvidia.com/gpu" = "1" } : {},
        )
        cpu_idle          = !each.value.has_gpu # false: billed as long as the instance is there, as a GPU demands
        startup_cpu_boost = true
      }

      # /health answers once the models are loaded. 120 times 2 seconds: the four minutes that are allowed for a start.
      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 120
        http_get {
          path = "/health"
        }
      }

      dynamic "env" {
        for_each = {
          for name, value in merge({
            SERVICE         = each.key
            MODELS          = var.models
            MODELS_BUCKET   = local.buckets.models
            TIMEOUT_SECONDS = tostring(var.timeout_seconds)
          }, each.value.variables) : name => value if value != ""
        }
        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  # An instance reads its models when it starts, which is also the test of a new revision.
  depends_on = [google_service_account.lane, google_storage_bucket_iam_member.lane]
}
