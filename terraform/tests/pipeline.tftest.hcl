# `terraform test` (1.7 or newer): a plan with the provider's schemas and no cloud. tests/deploy/test_terraform.py
# checks more of the same plan, and compares it with the settings.

mock_provider "google" {}
mock_provider "google" {
  alias = "budget"
}

variables {
  project_id  = "my-lab-forecasts"
  bucket_name = "my-lab-bucket"
}

run "roles_are_few_and_accounts_are_separate" {
  command = plan

  assert {
    condition     = toset(keys(google_project_iam_member.workflow)) == toset(["roles/batch.jobsEditor", "roles/logging.logWriter", "roles/workflows.viewer"])
    error_message = "The roles of the workflow in the project are not those it needs."
  }
  assert {
    condition     = toset(keys(google_project_iam_member.batch)) == toset(["roles/batch.agentReporter", "roles/logging.logWriter"])
    error_message = "The roles of the stages in the project are not those they need."
  }
  assert {
    condition     = keys(google_project_iam_member.builder) == keys(google_project_iam_member.batch)
    error_message = "The roles of stage A in the project differ from those of stages B and C."
  }
  assert {
    condition     = keys(google_project_iam_member.build) == ["roles/logging.logWriter"]
    error_message = "The roles of builds in the project are not those they need."
  }
  assert {
    condition     = google_service_account_iam_member.workflow_runs_jobs_as_batch.service_account_id == "projects/-/serviceAccounts/epymodelingsuite-batch@my-lab-forecasts.iam.gserviceaccount.com"
    error_message = "The workflow may act as more than the Batch account."
  }
  assert {
    condition     = google_service_account_iam_member.workflow_runs_jobs_as_builder.service_account_id == "projects/-/serviceAccounts/epymodelingsuite-builder@my-lab-forecasts.iam.gserviceaccount.com"
    error_message = "The workflow cannot start stage A as the builder's account."
  }
  assert {
    condition     = strcontains(google_storage_bucket_iam_member.workflow_reads_manifests.condition[0].expression, "endsWith(\"/builder-artifacts/manifest.json\")")
    error_message = "The workflow may read more than manifests."
  }
}

run "existing_accounts_are_not_created_again" {
  command = plan
  variables {
    batch_service_account = "stages@another-project.iam.gserviceaccount.com"
  }

  assert {
    condition     = length(google_service_account.batch_runtime_sa) == 0 && length(google_service_account.workflows_runner_sa) == 1
    error_message = "An account given by its e-mail address must exist and is not created."
  }
  assert {
    condition     = google_project_iam_member.batch["roles/batch.agentReporter"].member == "serviceAccount:stages@another-project.iam.gserviceaccount.com"
    error_message = "The existing account does not get the roles."
  }
}

run "machines_use_nat_and_accept_no_connections" {
  command = plan

  assert {
    condition     = !google_compute_network.machines.auto_create_subnetworks && google_compute_subnetwork.machines.private_ip_google_access
    error_message = "The subnet cannot reach Google without external addresses."
  }
  assert {
    condition     = google_compute_router_nat.nat.nat_ip_allocate_option == "AUTO_ONLY"
    error_message = "GitHub cannot be reached through NAT."
  }
  assert {
    condition     = google_compute_firewall.deny_ingress.direction == "INGRESS" && one(google_compute_firewall.deny_ingress.deny).protocol == "all"
    error_message = "Machines can be reached from outside."
  }
}

run "the_workflow_gets_the_values_of_the_deployment" {
  command = plan

  assert {
    condition     = length(google_workflows_workflow.pipeline.user_env_vars) <= 20 && alltrue([for value in values(google_workflows_workflow.pipeline.user_env_vars) : value != ""])
    error_message = "Workflows accept at most 20 variables, and no empty ones."
  }
  assert {
    condition     = google_workflows_workflow.pipeline.user_env_vars.SUBNETWORK == "projects/my-lab-forecasts/regions/us-central1/subnetworks/epymodelingsuite"
    error_message = "Batch needs the path of the subnet."
  }
  assert {
    condition     = !google_workflows_workflow.pipeline.deletion_protection
    error_message = "tf-destroy would fail."
  }
  assert {
    condition     = google_workflows_workflow.pipeline.labels == tomap({ component = "epymodelingsuite", environment = "production", managed-by = "terraform" })
    error_message = "The labels that group costs are wrong."
  }
}

run "each_stage_has_its_defaults" {
  command = plan
  variables {
    stages = { runner = { memory_mib = 8192 } }
  }

  assert {
    condition = alltrue(flatten([
      for stage, limits in {
        builder = { cpuMilli = 2000, memoryMib = 7168, machineType = "c4d-standard-2", maxRunSeconds = 3600, installOpsAgent = false }
        runner  = { cpuMilli = 2000, memoryMib = 8192, machineType = "", maxRunSeconds = 36000, installOpsAgent = false }
        output  = { cpuMilli = 4000, memoryMib = 15360, machineType = "c4d-standard-4", maxRunSeconds = 7200, installOpsAgent = false }
        } : [
        for name, value in limits : jsondecode(google_workflows_workflow.pipeline.user_env_vars.STAGES)[stage][name] == value
      ]
    ]))
    error_message = "A limit that is not set must keep its default, also within a stage."
  }
}

run "without_a_token_no_account_may_read_a_secret" {
  command = plan

  assert {
    condition     = length(data.google_secret_manager_secret.github_pat) == 0 && length(google_secret_manager_secret_iam_member.token) == 0
    error_message = "An account may read a secret although none is set."
  }
  assert {
    condition     = !strcontains(google_workflows_workflow.pipeline.user_env_vars.BUILDER_VARIABLES, "GITHUB_PAT_SECRET")
    error_message = "The stages get the name of a secret although none is set."
  }
}

run "with_a_token_stage_a_and_builds_of_a_suite_may_read_that_one_secret" {
  command = plan
  variables {
    github_pat_secret          = "github-pat"
    github_modeling_suite_repo = "my-lab/suite"
  }

  assert {
    condition     = keys(google_secret_manager_secret_iam_member.token) == ["build", "builder"]
    error_message = "Accounts other than those that clone may read the secret."
  }
}

run "with_a_token_and_no_suite_stage_a_alone_may_read_it" {
  command = plan
  variables {
    github_pat_secret = "github-pat"
  }

  assert {
    condition     = keys(google_secret_manager_secret_iam_member.token) == ["builder"]
    error_message = "Accounts other than that of stage A may read the secret."
  }
  assert {
    condition     = !strcontains(google_workflows_workflow.pipeline.user_env_vars.STAGE_VARIABLES, "github-pat")
    error_message = "Stages B and C get the name of the secret."
  }
}

run "a_stage_that_does_not_fit_its_machine_is_refused" {
  command = plan
  variables {
    stages = { builder = { memory_mib = 8192 } } # on a c4d-standard-2, which has 7168
  }
  expect_failures = [google_workflows_workflow.pipeline]
}

run "a_machine_type_that_the_table_does_not_list_is_refused" {
  command = plan
  variables {
    stages = { builder = { machine_type = "z9-standard-2" } }
  }
  expect_failures = [google_workflows_workflow.pipeline]
}

run "wrong_settings_are_refused" {
  command = plan
  variables {
    project_id         = "My Lab"
    bucket_name        = "gs://my-lab-bucket"
    dir_prefix         = "flu"
    region             = "us-central1-a"
    max_parallelism    = 5001
    max_retry_count    = 11
    provisioning_model = "CHEAP"
    github_pat_secret  = "ghp_0123456789"
    stages             = { runner = { memory_mib = 100 } }
  }
  expect_failures = [
    var.project_id, var.bucket_name, var.dir_prefix, var.region, var.max_parallelism, var.max_retry_count,
    var.provisioning_model, var.github_pat_secret, var.stages,
  ]
}
