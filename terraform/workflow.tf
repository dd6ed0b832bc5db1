# The pipeline: the workflow, and what it is told of this deployment. workflow.yaml is plain YAML and knows no
# Terraform; ops/cloud/deployment.py computes the same environment for a rehearsal, and a test holds both to it.

locals {
  machines = jsondecode(file("${path.module}/machine_types.json"))

  letters = { builder = "A", runner = "B", output = "C" }
  # Stages on a machine type that the table knows; one that it does not know is taken as it is.
  placed = {
    for name, stage in var.stages : name => merge(stage, {
      has_milli = local.machines.types[stage.machine_type].vcpus * 1000
      has_mib   = local.machines.types[stage.machine_type].memory_mib
      setting   = "STAGE_${local.letters[name]}"
      intro     = "stage ${local.letters[name]} (${name}): ${stage.machine_type} has"
      or_other  = "or choose another STAGE_${local.letters[name]}_MACHINE_TYPE (empty: Batch chooses)"
    }) if can(local.machines.types[stage.machine_type])
  }
  misfits = flatten([
    for s in local.placed : concat(
      s.memory_mib > s.has_mib ? ["${s.intro} ${s.has_mib} MiB of memory, ${s.memory_mib} are asked for; set ${s.setting}_MEMORY_MIB to ${s.has_mib} or less, ${s.or_other}"] : [],
      s.cpu_milli > s.has_milli ? ["${s.intro} ${s.has_milli} millicores, ${s.cpu_milli} are asked for; set ${s.setting}_CPU_MILLI to ${s.has_milli} or less, ${s.or_other}"] : [],
    )
  ])

  billing_label = substr(lower(replace(var.billing_project, "/[^A-Za-z0-9_-]/", "-")), 0, 63)

  workflow_environment = {
    BUCKET_NAME             = var.bucket_name
    DIR_PREFIX              = var.dir_prefix
    IMAGE_URI               = "${local.image_path}:${var.image_tag}"
    BATCH_SERVICE_ACCOUNT   = local.emails.batch
    BUILDER_SERVICE_ACCOUNT = local.emails.builder
    NETWORK                 = "projects/${var.project_id}/global/networks/${var.network_name}"
    SUBNETWORK              = "projects/${var.project_id}/regions/${var.region}/subnetworks/${var.network_name}"
    STAGES = jsonencode({
      for name, stage in var.stages : name => {
        cpuMilli        = stage.cpu_milli
        memoryMib       = stage.memory_mib
        machineType     = stage.machine_type
        maxRunSeconds   = stage.max_run_seconds
        installOpsAgent = var.install_ops_agent
      }
    })
    HYPERDISK_FAMILIES  = jsonencode(sort(local.machines.hyperdisk_only_families))
    TASK_COUNT_PER_NODE = tostring(var.task_count_per_node)
    WORKLOADS_PER_TASK  = tostring(var.workloads_per_task)
    MAX_PARALLELISM     = tostring(var.max_parallelism)
    MAX_RETRY_COUNT     = tostring(var.max_retry_count)
    PROVISIONING_MODEL  = var.provisioning_model
    LABELS              = jsonencode({ for name, value in { environment = var.environment, billing_project = local.billing_label } : name => value if value != "" })
    # of stage A alone; those of every stage are below
    BUILDER_VARIABLES = jsonencode({
      for name, value in {
        GITHUB_FORECAST_REPO = var.github_forecast_repo
        FORECAST_REPO_REF    = var.forecast_repo_ref
        GITHUB_PAT_SECRET    = var.github_pat_secret
      } : name => value if value != ""
    })
    STAGE_VARIABLES = jsonencode({
      for name, value in {
        GCLOUD_PROJECT_ID = var.project_id
        GITHUB_URL        = var.github_url
        MODELING_SUITE    = var.modeling_suite
        LOG_LEVEL         = var.log_level
        STORAGE_VERBOSE   = tostring(var.storage_verbose)
      } : name => value if value != ""
    })
    RUN_OUTPUT_STAGE      = tostring(var.run_output_stage)
    ALLOW_PARTIAL_RESULTS = tostring(var.allow_partial_results)
  }
}

resource "google_workflows_workflow" "pipeline" {
  name                = var.workflow_name
  region              = var.region
  description         = "Builder, runners and output of an epidemic forecast"
  service_account     = local.emails.workflow
  source_contents     = file("${path.module}/workflow.yaml")
  user_env_vars       = { for name, value in local.workflow_environment : name => value if value != "" }
  call_log_level      = "LOG_ERRORS_ONLY"
  deletion_protection = false # it can be made again in seconds, and holds nothing
  labels              = local.labels

  lifecycle {
    precondition {
      condition     = length(local.misfits) == 0
      error_message = join("; ", local.misfits)
    }
  }

  # Whoever runs it at once finds all that it needs.
  depends_on = [
    google_compute_router_nat.nat,
    google_project_iam_member.batch,
    google_project_iam_member.builder,
    google_project_iam_member.workflow,
    google_service_account_iam_member.workflow_runs_jobs_as_batch,
    google_service_account_iam_member.workflow_runs_jobs_as_builder,
  ]
}
