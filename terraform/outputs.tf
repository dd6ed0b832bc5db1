output "workflow" {
  description = "The workflow that `invoke run` starts."
  value       = google_workflows_workflow.pipeline.name
}

output "image" {
  description = "Where `invoke build` pushes the image, without its tag."
  value       = local.image_path
}

output "runs" {
  description = "Where runs and their forecasts are."
  value       = "gs://${var.bucket_name}/${var.dir_prefix}"
}

output "accounts" {
  description = "As whom stage A (builder), stages B and C (batch), the workflow and builds run."
  value       = local.emails
}

output "network" {
  description = "The machines' network and subnet, as Batch takes them."
  value = {
    network    = local.workflow_environment.NETWORK
    subnetwork = local.workflow_environment.SUBNETWORK
  }
}

output "dashboards" {
  description = "Where to look at what runs, by stage and over all."
  value = {
    for name, board in google_monitoring_dashboard.boards :
    name => "https://console.cloud.google.com/monitoring/dashboards/builder/${basename(board.id)}?project=${var.project_id}"
  }
}
