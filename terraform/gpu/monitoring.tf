# The dashboard, from dashboard.json, and what that file and alerts.yaml are filled with. ops/gpu fills the same files;
# a test compares the two. docs/gpu.md describes each tile.

locals {
  prices = jsondecode(file("${path.module}/prices.json"))

  usd_per_second = { # of an instance that is billed
    for name, service in local.services : name => sum([
      service.cpu * local.prices[service.has_gpu ? "instance_based" : "request_based"].cpu_second,
      tonumber(trimsuffix(service.memory, "Gi")) * local.prices[service.has_gpu ? "instance_based" : "request_based"].gib_second,
      service.has_gpu ? local.prices.gpu_second[var.gpu_type][var.gpu_zonal_redundancy ? "redundant" : "one_zone"] : 0,
    ])
  }

  shown = merge(
    {
      stem            = local.stem
      project         = var.project_id
      region          = var.region
      timeout_seconds = var.timeout_seconds
      latency_ms      = var.timeout_seconds * 800 # 80 % of what a request may take
      min_instances   = var.min_instances
      prices_of       = local.prices.as_of
    },
    { for name, usd in local.usd_per_second : "${name}_usd_per_second" => format("%.8f", usd) },
  )
}

resource "google_monitoring_dashboard" "lane" {
  dashboard_json = jsonencode(merge(jsondecode(templatefile("${path.module}/dashboard.json", local.shown)), { labels = local.labels }))
  depends_on     = [google_project_service.apis]
}
