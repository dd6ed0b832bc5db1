output "names" {
  description = "What the names of this deployment begin with; also the name of the workflow."
  value       = local.stem
}

output "upload" {
  description = "Where an upload starts the workflow."
  value       = "gs://${local.buckets.input}"
}

output "results" {
  description = "Where results are, in a folder for each upload."
  value       = "gs://${local.buckets.output}/results"
}

output "models" {
  description = "Where the files of models are, in a folder for each."
  value       = "gs://${local.buckets.models}"
}

output "services" {
  description = "Addresses of the services, which the workflow calls."
  value       = local.service_urls
}

output "images" {
  description = "The image that each service runs."
  value       = { for name, service in google_cloud_run_v2_service.lane : name => service.template[0].containers[0].image }
}

output "dashboard" {
  description = "Address of the dashboard."
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${basename(google_monitoring_dashboard.lane.id)}?project=${var.project_id}"
}
