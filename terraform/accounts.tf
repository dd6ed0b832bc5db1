# Accounts and their rights: one for stage A, which clones with the token, one for stages B and C, one for the workflow,
# one for builds, each with only what it needs. docs/access.md lists the same.

locals {
  # Strings, not attributes of the accounts, so that a plan shows them before the accounts exist.
  emails = {
    for role, account in {
      batch    = var.batch_service_account
      builder  = var.builder_service_account
      workflow = var.workflow_service_account
      build    = var.build_service_account
    } : role => strcontains(account, "@") ? account : "${account}@${var.project_id}.iam.gserviceaccount.com"
  }
  members = { for role, email in local.emails : role => "serviceAccount:${email}" }

  # Conditions compare whole names. No character of a prefix can break out of a literal of jsonencode().
  objects = "projects/_/buckets/${var.bucket_name}/objects/"
  runs    = jsonencode("${local.objects}${var.dir_prefix}")
  sources = jsonencode("${local.objects}${var.dir_prefix}cloudbuild/")
  state   = jsonencode("${local.objects}${trimsuffix(var.state_prefix, "/")}/")

  # A stage runs code of the forecasting repository, so it may reach neither the sources of builds nor the state.
  run_objects = join(" && ", concat(
    ["resource.name.startsWith(${local.runs})", "!resource.name.startsWith(${local.sources})"],
    contains(["", var.bucket_name], var.state_bucket) ? ["!resource.name.startsWith(${local.state})"] : [],
  ))
}

resource "google_service_account" "batch_runtime_sa" {
  count = strcontains(var.batch_service_account, "@") ? 0 : 1

  account_id   = var.batch_service_account
  display_name = "Stages B and C of the epidemic-forecasting pipeline"
  depends_on   = [google_project_service.apis]
}

resource "google_service_account" "builder_sa" {
  count = strcontains(var.builder_service_account, "@") ? 0 : 1

  account_id   = var.builder_service_account
  display_name = "Stage A of the epidemic-forecasting pipeline"
  depends_on   = [google_project_service.apis]
}

resource "google_service_account" "workflows_runner_sa" {
  count = strcontains(var.workflow_service_account, "@") ? 0 : 1

  account_id   = var.workflow_service_account
  display_name = "Workflow of the epidemic-forecasting pipeline"
  depends_on   = [google_project_service.apis]
}

resource "google_service_account" "build_sa" {
  count = strcontains(var.build_service_account, "@") ? 0 : 1

  account_id   = var.build_service_account
  display_name = "Builds of the epidemic-forecasting images"
  depends_on   = [google_project_service.apis]
}

# The workflow

resource "google_project_iam_member" "workflow" {
  for_each = toset([
    "roles/batch.jobsEditor",
    "roles/logging.logWriter",
    "roles/workflows.viewer", # to see whether the execution that holds a run is still active
  ])

  project    = var.project_id
  role       = each.key
  member     = local.members.workflow
  depends_on = [google_service_account.workflows_runner_sa]
}

resource "google_service_account_iam_member" "workflow_runs_jobs_as_batch" {
  service_account_id = "projects/-/serviceAccounts/${local.emails.batch}" # only this account, never the project
  role               = "roles/iam.serviceAccountUser"
  member             = local.members.workflow
  depends_on         = [google_service_account.batch_runtime_sa, google_service_account.workflows_runner_sa]
}

resource "google_service_account_iam_member" "workflow_runs_jobs_as_builder" {
  service_account_id = "projects/-/serviceAccounts/${local.emails.builder}"
  role               = "roles/iam.serviceAccountUser"
  member             = local.members.workflow
  depends_on         = [google_service_account.builder_sa, google_service_account.workflows_runner_sa]
}

resource "google_storage_bucket_iam_member" "workflow_reads_manifests" {
  bucket = data.google_storage_bucket.runs.name
  role   = "roles/storage.objectViewer"
  member = local.members.workflow

  condition {
    title      = "manifests of runs"
    expression = "resource.name.startsWith(${local.runs}) && resource.name.endsWith(\"/builder-artifacts/manifest.json\")"
  }
  depends_on = [google_service_account.workflows_runner_sa]
}

resource "google_storage_bucket_iam_member" "workflow_claims_runs" {
  bucket = data.google_storage_bucket.runs.name
  role   = "roles/storage.objectUser"
  member = local.members.workflow

  condition {
    title      = "claims of runs"
    expression = "resource.name.startsWith(${local.runs}) && resource.name.endsWith(\"/execution.json\")"
  }
  depends_on = [google_service_account.workflows_runner_sa]
}

# The stages: the builder's account has the rights of the one of stages B and C, and may read the token

locals {
  stage_accounts = { for role in ["batch", "builder"] : role => local.members[role] }

  stage_roles = toset(concat([
    "roles/batch.agentReporter", # without it no task starts
    "roles/logging.logWriter",
  ], var.install_ops_agent ? ["roles/monitoring.metricWriter"] : []))
}

resource "google_project_iam_member" "batch" {
  for_each = local.stage_roles

  project    = var.project_id
  role       = each.key
  member     = local.members.batch
  depends_on = [google_service_account.batch_runtime_sa]
}

resource "google_project_iam_member" "builder" {
  for_each = local.stage_roles

  project    = var.project_id
  role       = each.key
  member     = local.members.builder
  depends_on = [google_service_account.builder_sa]
}

resource "google_storage_bucket_iam_member" "batch_uses_runs" {
  for_each = local.stage_accounts

  bucket = data.google_storage_bucket.runs.name
  role   = "roles/storage.objectUser"
  member = each.value

  condition {
    title      = "runs"
    expression = local.run_objects
  }
  depends_on = [google_service_account.batch_runtime_sa, google_service_account.builder_sa]
}

# Names of objects, not their contents. Without the right to list, a missing object is answered with 403, not 404, and a
# runner could not see whether its result is missing. Listing is a right on the bucket: no condition on names applies.
resource "google_storage_bucket_iam_member" "batch_lists_runs" {
  for_each = local.stage_accounts

  bucket     = data.google_storage_bucket.runs.name
  role       = "roles/storage.legacyBucketReader"
  member     = each.value
  depends_on = [google_service_account.batch_runtime_sa, google_service_account.builder_sa]
}

resource "google_artifact_registry_repository_iam_member" "batch_pulls_images" {
  for_each = local.stage_accounts

  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.reader"
  member     = each.value
  depends_on = [google_service_account.batch_runtime_sa, google_service_account.builder_sa]
}

# In a project where one account served all stages, it keeps its rights, and the builder's gets its own.
moved {
  from = google_storage_bucket_iam_member.batch_uses_runs
  to   = google_storage_bucket_iam_member.batch_uses_runs["batch"]
}

moved {
  from = google_storage_bucket_iam_member.batch_lists_runs
  to   = google_storage_bucket_iam_member.batch_lists_runs["batch"]
}

moved {
  from = google_artifact_registry_repository_iam_member.batch_pulls_images
  to   = google_artifact_registry_repository_iam_member.batch_pulls_images["batch"]
}

# Builds

resource "google_project_iam_member" "build" {
  for_each = toset(["roles/logging.logWriter"])

  project    = var.project_id
  role       = each.key
  member     = local.members.build
  depends_on = [google_service_account.build_sa]
}

resource "google_storage_bucket_iam_member" "build_reads_sources" {
  bucket = data.google_storage_bucket.runs.name
  role   = "roles/storage.objectViewer"
  member = local.members.build

  condition {
    title      = "sources of builds"
    expression = "resource.name.startsWith(${local.sources})"
  }
  depends_on = [google_service_account.build_sa]
}

resource "google_artifact_registry_repository_iam_member" "build_pushes_images" {
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.writer"
  member     = local.members.build
  depends_on = [google_service_account.build_sa]
}

# The token for private repositories, for the accounts that clone them; nothing here without GITHUB_PAT_SECRET. A
# build clones GITHUB_MODELING_SUITE_REPO alone

resource "google_secret_manager_secret_iam_member" "token" {
  for_each = local.uses_secret ? {
    for role in concat(["builder"], var.github_modeling_suite_repo != "" ? ["build"] : []) : role => local.members[role]
  } : {}

  secret_id  = data.google_secret_manager_secret.github_pat[0].secret_id
  role       = "roles/secretmanager.secretAccessor"
  member     = each.value
  depends_on = [google_service_account.builder_sa, google_service_account.build_sa]

  lifecycle {
    precondition {
      condition     = local.members.builder != local.members.batch
      error_message = "BATCH_SERVICE_ACCOUNT is also BUILDER_SERVICE_ACCOUNT, which may read the token: stages B and C need an account of their own."
    }
    precondition { # also before a suite is set
      condition     = local.members.build != local.members.batch
      error_message = "BATCH_SERVICE_ACCOUNT is also BUILD_SERVICE_ACCOUNT, which may read the token: stages B and C need an account of their own."
    }
  }
}
