# What everything else needs: names, labels, APIs, the project's number, the images.
# accounts.tf has the accounts and their rights, rules.tf what the settings allow together.

provider "google" {
  project = var.project_id
  region  = var.region
}

provider "google-beta" {
  project = var.project_id
  region  = var.region
}

locals {
  # A bucket's name is shared with all of Google Cloud, so names have six digits that are this deployment's own.
  # ops/gpu/names.py computes the same; a test compares the two.
  stem = "${var.service_prefix}-${substr(sha256("${var.project_id}/${var.region}/${var.service_prefix}"), 0, 6)}"

  labels = {
    component   = "epymodelingsuite"
    environment = var.environment
    managed-by  = "terraform"
  }

  has_budget = var.monthly_budget_usd > 0 && var.billing_account != ""
}

resource "google_project_service" "apis" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "eventarc.googleapis.com",
    "eventarcpublishing.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "storage.googleapis.com",
    "workflowexecutions.googleapis.com",
    "workflows.googleapis.com",
  ])

  service            = each.key
  disable_on_destroy = false # others in the project may use the API
}

# Apart from the others: what is read after those are enabled is then known in a plan that only adds one of these.
resource "google_project_service" "chosen" {
  for_each = toset(concat(
    var.enable_vertex_ai ? ["aiplatform.googleapis.com"] : [],
    local.has_budget ? ["billingbudgets.googleapis.com"] : [],
  ))

  service            = each.key
  disable_on_destroy = false
}

data "google_project" "this" {
  project_id = var.project_id
  depends_on = [google_project_service.apis]

  lifecycle {
    precondition {
      condition     = length(local.mistakes) == 0
      error_message = join("\n", local.mistakes)
    }
  }
}

# Reading the account of Cloud Storage that sends the events of buckets also creates it.
data "google_storage_project_service_account" "events" {
  depends_on = [google_project_service.apis]
}

# Images are built before (`invoke gpu-build`). A service runs an image by its digest, so that a new build under the
# same tag is a change in the next plan. Another registry than Google's is not asked: its images are run by their tag.

locals {
  registry_host = coalesce(var.registry_host, "${var.region}-docker.pkg.dev")
  repository    = coalesce(var.repo_name, local.stem)
  image_path    = "${local.registry_host}/${var.project_id}/${local.repository}"
  has_digests   = var.find_digests && endswith(local.registry_host, "-docker.pkg.dev")
}

data "google_artifact_registry_docker_image" "images" {
  for_each = toset(local.has_digests ? keys(local.services) : [])

  project       = var.project_id
  location      = trimsuffix(local.registry_host, "-docker.pkg.dev")
  repository_id = local.repository
  image_name    = "${each.key}:${var.image_tag}"
}
