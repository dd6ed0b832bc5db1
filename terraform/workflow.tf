# The pipeline: the workflow, and its environment in this deployment. workflow.yaml is plain YAML without anything of
# Terraform. ops/cloud/deployment.py computes the same environment for a rehearsal; a test compares the two.

locals {
  machines = jsondecode(file("${path.module}/machine_types.json"))

  letters = { builder = "A", runner = "B", output = "C" }
  placed = { # stages that name a machine type
    for name, stage in var.stages : name => merge(stage, {
      machine = try(local.machines.types[stage.machine_type], null)
      family  = split("-", stage.machine_type)[0]
      shape   = trimprefix(stage.machine_type, split("-", stage.machine_type)[0])
      setting = "STAGE_${local.letters[name]}"
      intro   = "stage ${local.letters[name]} (${name}): ${stage.machine_type}"
      other   = "choose another STAGE_${local.letters[name]}_MACHINE_TYPE (empty: Batch chooses)"
    }) if stage.machine_type != ""
  }
  near = { # of a type that the table does not list: those of its family, else those of its shape
    for name, s in local.placed : name => coalescelist(
      [for type in keys(local.machines.types) : type if split("-", type)[0] == s.family],
      [for type in keys(local.machines.types) : type if endswith(type, s.shape)],
      ["none that is similar"],
    )
  }
  misfits = flatten([
    for name, s in local.placed : s.machine == null ? [
      "${s.intro} is not in terraform/machine_types.json (it lists ${join(", ", local.near[name])}); ${s.other}, or add its guestCpus and memoryMb there, which this prints: gcloud compute machine-types describe ${s.machine_type} --zone ZONE"
      ] : concat(
      s.memory_mib > s.machine.memory_mib ? ["${s.intro} has ${s.machine.memory_mib} MiB of memory, ${s.memory_mib} are asked for; set ${s.setting}_MEMORY_MIB to ${s.machine.memory_mib} or less, or ${s.other}"] : [],
      s.cpu_milli > s.machine.vcpus * 1000 ? ["${s.intro} has ${s.machine.vcpus * 1000} millicores, ${s.cpu_milli} are asked for; set ${s.setting}_CPU_MILLI to ${s.machine.vcpus * 1000} or less, or ${s.other}"] : [],
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
    STAGES = jsonencode({ # each limit by its name in the workflow: cpuMilli for cpu_milli
      for name, stage in var.stages : name => merge(
        { for limit, value in stage : join("", [for i, word in split("_", limit) : i == 0 ? word : title(word)]) => value },
        { installOpsAgent = var.install_ops_agent },
      )
    })
    HYPERDISK_FAMILIES  = jsonencode(sort(local.machines.hyperdisk_only_families))
    TASK_COUNT_PER_NODE = tostring(var.task_count_per_node)
    WORKLOADS_PER_TASK  = tostring(var.workloads_per_task)
    MAX_PARALLELISM     = tostring(var.max_parallelism)
    MAX_RETRY_COUNT     = tostring(var.max_retry_count)
    PROVISIONING_MODEL  = var.provisioning_model
    LABELS              = jsonencode({ for name, value in { environment = var.environment, billing_project = local.billing_label } : name => value if value != "" })
    # variables of stage A; those of every stage are below
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
        ENGINE            = var.engine
        # functions of an experiment that is only uploaded run if the setting allows them
        ALLOW_USER_FUNCTIONS = tostring(var.allow_user_functions || var.github_forecast_repo != "")
        LOG_LEVEL            = var.log_level
        STORAGE_VERBOSE      = tostring(var.storage_verbose)
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
  deletion_protection = false # it holds no data and is created again in seconds
  labels              = local.labels

  lifecycle {
    precondition {
      condition     = length(local.misfits) == 0
      error_message = join("; ", local.misfits)
    }
  }

  # A run may start as soon as the workflow exists, so everything it needs comes first.
  depends_on = [
    google_compute_router_nat.nat,
    google_project_iam_member.batch,
    google_project_iam_member.builder,
    google_project_iam_member.workflow,
    google_service_account_iam_member.workflow_runs_jobs_as_batch,
    google_service_account_iam_member.workflow_runs_jobs_as_builder,
  ]
}
