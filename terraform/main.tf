# What everything else needs: names, labels, APIs, the registry, and the existing bucket and secret, which are only read.
# accounts.tf has the accounts and their rights, network.tf the machines' network, workflow.tf the pipeline itself.

provider "google" {
  project = var.project_id
  region  = var.region
}

locals {
  labels = {
    component   = "epymodelingsuite"
    environment = var.environment
    managed-by  = "terraform"
  }

  registry_host = coalesce(var.registry_host, "${var.region}-docker.pkg.dev")
  image_path    = "${local.registry_host}/${var.project_id}/${var.repo_name}/${var.image_name}"

  uses_secret = var.github_pat_secret != ""
  has_budget  = var.monthly_budget_usd > 0 && var.billing_account != ""
}

resource "google_project_service" "apis" {
  for_each = toset(concat([
    "artifactregistry.googleapis.com",
    "batch.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "compute.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    "workflowexecutions.googleapis.com",
    "workflows.googleapis.com",
  ], local.has_budget ? ["billingbudgets.googleapis.com"] : []))

  service            = each.key
  disable_on_destroy = false # others in the project may use the API
}

resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84:images hold public packages and this repository's code; Google's own keys encrypt them
  repository_id = var.repo_name
  location      = var.region
  format        = "DOCKER"
  description   = "Images of the epidemic-forecasting stages"
  labels        = local.labels

  cleanup_policies {
    id     = "keep-the-newest"
    action = "KEEP" # wins over DELETE
    most_recent_versions {
      keep_count = var.keep_images
    }
  }
  cleanup_policies {
    id     = "keep-what-the-workflow-names"
    action = "KEEP"
    condition {
      tag_state    = "TAGGED"
      tag_prefixes = [var.image_tag]
    }
  }
  cleanup_policies {
    id     = "delete-the-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "${var.keep_images_days * 24 * 3600}s"
    }
  }

  depends_on = [google_project_service.apis]
}

# Forecasts outlive the pipeline, so the bucket is never created or destroyed here.
data "google_storage_bucket" "runs" {
  name = var.bucket_name
}

data "google_secret_manager_secret" "github_pat" {
  count = local.uses_secret ? 1 : 0

  secret_id  = var.github_pat_secret
  depends_on = [google_project_service.apis]
}
