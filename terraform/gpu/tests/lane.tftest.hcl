# `terraform test` (1.7 or newer): a plan with the providers' schemas and no cloud. tests/deploy/ checks more of the
# same plan, and compares it with the settings and with what the scripts deploy.

mock_provider "google" {}
mock_provider "google" {
  alias = "budget"
}
mock_provider "google-beta" {}
mock_provider "time" {}

variables {
  project_id = "my-lab-forecasts"
}

run "one_gpu_and_no_instance_while_nothing_is_to_be_done" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.lane["inference"].template[0].containers[0].resources[0].limits["nvidia.com/gpu"] == "1"
    error_message = "Inference has no GPU."
  }
  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service.lane : service.template[0].scaling[0].min_instance_count == 0])
    error_message = "An instance is kept, and billed, while nobody uploads."
  }
  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service.lane : service.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" && !service.deletion_protection])
    error_message = "A service is open to the internet, or cannot be destroyed."
  }
}

run "an_instance_that_cloud_run_does_not_have_is_refused" {
  command = plan
  variables {
    gpu_cpu    = 2
    gpu_memory = "8Gi"
  }
  expect_failures = [data.google_project.this]
}

run "more_gpus_than_the_quota_are_refused" {
  command = plan
  variables {
    gpu_max_instances = 10
  }
  expect_failures = [data.google_project.this]
}

run "a_prefix_that_is_too_long_is_refused" {
  command = plan
  variables {
    service_prefix = "a-prefix-of-nineteen"
  }
  expect_failures = [var.service_prefix]
}
