# Uploads, files of models, and results. They are in the trigger's region: Eventarc refuses another.

locals {
  buckets = { for name in ["input", "models", "output"] : name => "${local.stem}-${name}" }

  # What happens to objects of a bucket after how many days: those below a folder, or all; 0 days: nothing.
  aging = {
    input  = [{ action = "Delete", class = null, folder = null, days = var.input_retention_days }]
    models = []
    output = [
      { action = "Delete", class = null, folder = "work/", days = var.work_retention_days },
      { action = "SetStorageClass", class = "NEARLINE", folder = "results/", days = var.results_nearline_days },
      { action = "Delete", class = null, folder = "results/", days = var.results_retention_days },
    ]
  }
}

resource "google_storage_bucket" "lane" {
  #checkov:skip=CKV_GCP_62:who reads and writes objects is logged with audit_data_access, not in a bucket
  #checkov:skip=CKV_GCP_78:a result is written once, and what is deleted by mistake can be restored for 7 days
  for_each = local.buckets

  name                        = each.value
  location                    = var.region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.delete_data
  labels                      = local.labels

  versioning {
    enabled = false
  }
  soft_delete_policy {
    retention_duration_seconds = 7 * 24 * 3600
  }

  dynamic "lifecycle_rule" {
    for_each = [for rule in local.aging[each.key] : rule if rule.days > 0]
    content {
      action {
        type          = lifecycle_rule.value.action
        storage_class = lifecycle_rule.value.class
      }
      condition {
        age            = lifecycle_rule.value.days
        matches_prefix = lifecycle_rule.value.folder == null ? [] : [lifecycle_rule.value.folder]
      }
    }
  }
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 1
    }
  }

  depends_on = [google_project_service.apis]
}

# Who reads and writes objects, in the project's Data Access logs. They are one policy for the whole project, so this
# takes the place of what others have set for Cloud Storage.
resource "google_project_iam_audit_config" "storage" {
  count = var.audit_data_access ? 1 : 0

  project = var.project_id
  service = "storage.googleapis.com"

  dynamic "audit_log_config" {
    for_each = ["DATA_READ", "DATA_WRITE"]
    content {
      log_type = audit_log_config.value
    }
  }
}
