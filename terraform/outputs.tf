output "workflow" {
  description = "The workflow that `invoke run` starts."
  value       = google_workflows_workflow.pipeline.name
}

output "image" {
  description = "Image that `invoke build` pushes, without its tag."
  value       = local.image_path
}

output "runs" {
  description = "Folder of the runs and their forecasts."
  value       = "gs://${var.bucket_name}/${var.dir_prefix}"
}

output "accounts" {
  description = "Service accounts of stage A (builder), of stages B and C (batch), of the workflow and of builds."
  value       = local.emails
}

output "network" {
  description = "Network and subnet of the machines, in the form that Batch accepts."
  value = {
    network    = local.workflow_environment.NETWORK
    subnetwork = local.workflow_environment.SUBNETWORK
  }
}

output "dashboards" {
  description = "Addresses of the dashboards: one per stage, and one for all."
  value = {
    for name, board in google_monitoring_dashboard.boards :
    name => "https://console.cloud.google.com/monitoring/dashboards/builder/${basename(board.id)}?project=${var.project_id}"
  }
}
