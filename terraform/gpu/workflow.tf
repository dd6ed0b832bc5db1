# The workflow, from workflow.yaml unchanged, and its environment in this deployment.

resource "google_workflows_workflow" "lane" {
  name                = local.stem
  region              = var.region
  description         = "An upload becomes a result: preprocess, predict, postprocess"
  service_account     = local.emails.workflow
  source_contents     = file("${path.module}/workflow.yaml")
  call_log_level      = "LOG_ERRORS_ONLY"
  deletion_protection = false # it holds no data and is created again in seconds
  labels              = local.labels

  user_env_vars = {
    SERVICE_URLS       = jsonencode(local.service_urls)
    OUTPUT_BUCKET      = local.buckets.output
    MAX_SHARDS_AT_ONCE = tostring(local.gpu_instances)
    TIMEOUT_SECONDS    = tostring(var.timeout_seconds)
  }

  depends_on = [
    google_project_iam_member.lane,
    google_service_account.lane,
    google_cloud_run_v2_service_iam_member.workflow_calls,
  ]
}
