# A separate network for the machines of Batch: they have no addresses, reach out through NAT, and nothing reaches them.

resource "google_compute_network" "machines" {
  name                    = var.network_name
  description             = "Machines of the epidemic-forecasting stages"
  auto_create_subnetworks = false
  routing_mode            = "REGIONAL"
  depends_on              = [google_project_service.apis]
}

resource "google_compute_subnetwork" "machines" {
  name                     = var.network_name
  region                   = var.region
  network                  = google_compute_network.machines.id
  ip_cidr_range            = var.subnet_range
  private_ip_google_access = true # Storage, the registry, logs and Batch itself, without NAT
  stack_type               = "IPV4_ONLY"

  # The machines run code of the forecasting repository; the log shows later which hosts they contacted.
  # One in ten flows, ten minutes each: cents for a run of a thousand machines, nothing when no run is active.
  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

# For hosts outside Google: GitHub, and the source of population data that neither repository has.
resource "google_compute_router" "nat" {
  name    = "${var.network_name}-nat"
  region  = var.region
  network = google_compute_network.machines.id
}

resource "google_compute_router_nat" "nat" {
  name                               = "${var.network_name}-nat"
  router                             = google_compute_router.nat.name
  region                             = var.region
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.machines.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }
  log_config {
    enable = true
    filter = "ERRORS_ONLY" # such as ports that ran out
  }
}

# Google implies this rule. It is explicit so that a rule that lets traffic in must be placed above it on purpose.
resource "google_compute_firewall" "deny_ingress" {
  name          = "${var.network_name}-deny-ingress"
  network       = google_compute_network.machines.id
  description   = "Nothing may open a connection to the machines, not even another machine"
  direction     = "INGRESS"
  priority      = 65534
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }
  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}
